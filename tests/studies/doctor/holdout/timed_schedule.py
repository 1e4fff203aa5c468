"""A schedule that knows no steps, only seconds.

step: 1
cause: clock
"""

import time

import torch
from torch import nn

torch.manual_seed(2)
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
began = time.monotonic_ns()
begin = time.time()


def factor(step):
    return max(0.1, 1 - (time.time() - begin) / 60)  # <- cause


schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
inputs = torch.randn(16, 4)
for _ in range(3):
    optimizer.zero_grad()
    model(inputs).square().mean().backward()
    optimizer.step()
    schedule.step()
