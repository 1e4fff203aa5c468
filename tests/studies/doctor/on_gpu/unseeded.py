"""The generator of a GPU is seeded anew by the system after everything was seeded.

step: 1
cause: seed-varies
"""

import torch
from torch import nn

torch.manual_seed(3)
model = nn.Linear(6, 1, device="cuda")
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
torch.cuda.manual_seed(torch.seed())  # <- cause
for _ in range(4):
    inputs = torch.randn(16, 6, device="cuda")
    optimizer.zero_grad()
    (model(inputs) - inputs.sum(1, keepdim=True)).square().mean().backward()
    optimizer.step()
