"""The seed is set after the model has been made.

step: 1
cause: seeded-late
"""

import torch
from torch import nn

model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
torch.manual_seed(0)  # <- cause
inputs = torch.randn(16, 4)
for _ in range(3):
    optimizer.zero_grad()
    model(inputs).square().mean().backward()
    optimizer.step()
