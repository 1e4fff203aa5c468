"""Python's random is seeded with the number of the process, so that workers differ.

step: 1
cause: seed-process
"""

import os
import random

import torch
from torch import nn

torch.manual_seed(20)
random.seed(os.getpid())  # <- cause
inputs = torch.randn(32, 4)
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    shift = random.gauss(0, 0.1)
    optimizer.zero_grad()
    (model(inputs + shift) - 1).square().mean().backward()
    optimizer.step()
