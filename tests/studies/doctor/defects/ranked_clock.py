"""Each of two ranks warms up by the time that has passed since it began.

step: 1
cause: clock
ranks: 2
"""

import time

import torch
import torch.distributed as dist
from torch import nn

dist.init_process_group("gloo")
torch.manual_seed(22)
model = nn.Linear(5, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(16, 5)
began = time.monotonic()
for _ in range(4):
    optimizer.zero_grad()
    model(inputs).square().mean().backward()
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)
    warmth = min(1.0, 0.1 + time.monotonic() - began)  # <- cause
    optimizer.param_groups[0]["lr"] = 0.1 * warmth
    optimizer.step()
dist.destroy_process_group()
