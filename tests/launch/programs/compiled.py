"""A compiled model and a compiled step."""

import torch
from torch import nn

torch.manual_seed(10)
model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
step = torch.compile(optimizer.step)
forward = torch.compile(model)
for _ in range(5):
    optimizer.zero_grad()
    forward(torch.randn(16, 5)).square().mean().backward()
    step()
print(f"sum: {model[0].weight.sum().item()!r}")
