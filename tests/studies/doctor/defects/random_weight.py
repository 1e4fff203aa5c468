"""The weight of a penalty is drawn anew each step.

step: 1
cause: random-unseeded
"""

import random

import torch
from torch import nn

torch.manual_seed(28)
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(16, 4)
for _ in range(3):
    loss = (model(inputs) - 1).square().mean()
    penalty = sum(parameter.abs().sum() for parameter in model.parameters())
    optimizer.zero_grad()
    (loss + random.uniform(0.01, 0.1) * penalty).backward()  # <- cause
    optimizer.step()
