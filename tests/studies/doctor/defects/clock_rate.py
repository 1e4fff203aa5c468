"""The learning rate falls with the seconds that have passed.

step: 1
cause: clock
"""

import time

import torch
from torch import nn

torch.manual_seed(15)
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(16, 4)
began = time.time()
for _ in range(4):
    optimizer.zero_grad()
    (model(inputs) - 1).square().mean().backward()
    passed = time.time() - began  # <- cause
    for group in optimizer.param_groups:
        group["lr"] = 0.1 / (1 + passed)
    optimizer.step()
