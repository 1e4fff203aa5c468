"""The masks come from a generator that is seeded at random.

step: 1
cause: generator-seed
"""

import torch
from torch import nn


class OwnDropout(nn.Module):
    def __init__(self, rate):
        super().__init__()
        self.rate = rate
        self.generator = torch.Generator()
        self.generator.seed()  # <- cause

    def forward(self, values):
        mask = torch.rand(values.shape, generator=self.generator) > self.rate
        return values * mask / (1 - self.rate)


torch.manual_seed(19)
model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), OwnDropout(0.3), nn.Linear(12, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(20, 6)
for _ in range(3):
    optimizer.zero_grad()
    model(inputs).square().mean().backward()
    optimizer.step()
