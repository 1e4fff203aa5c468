"""A model is made before anything is seeded.

step: 1
cause: torch-unseeded
"""

import torch
from torch import nn

model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))  # <- cause
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.linspace(-1, 1, 96).reshape(16, 6)
for _ in range(4):
    optimizer.zero_grad()
    (model(inputs) - inputs.sum(1, keepdim=True)).square().mean().backward()
    optimizer.step()
