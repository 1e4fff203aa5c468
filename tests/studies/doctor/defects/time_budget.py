"""Training ends when its time is up.

step: any
cause: clock
"""

import time

import torch
from torch import nn

torch.manual_seed(14)
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(16, 4)
deadline = time.monotonic() + 0.7
began = time.time()
step = 0
while time.time() - began < 0.7:  # <- cause
    optimizer.zero_grad()
    (model(inputs) - 1).square().mean().backward()
    optimizer.step()
    step += 1
print(f"{step} steps, loss {(model(inputs) - 1).square().mean().item()}")
