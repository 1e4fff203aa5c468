"""After each step noise is added to the weights, by a generator of its own.

step: 2
cause: generator-seed
"""

import torch
from torch import nn

torch.manual_seed(9)
noise = torch.Generator(device="cpu")
noise.seed()  # <- cause


def shaken(model, scale):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=noise))


model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(16, 4)
for _ in range(3):
    optimizer.zero_grad()
    model(inputs).square().mean().backward()
    optimizer.step()
    shaken(model, 0.01)
