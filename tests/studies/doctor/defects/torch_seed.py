"""After the model is made, torch is seeded anew, at random.

step: 2
cause: seed-varies
"""

import torch
from torch import nn

torch.manual_seed(2)
model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(16, 4)
for epoch in range(3):
    if epoch == 1:
        torch.seed()  # <- cause
    optimizer.zero_grad()
    model(inputs).square().mean().backward()
    optimizer.step()
