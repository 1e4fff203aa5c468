"""Running statistics are begun with noise, and used only from the fifth step on.

step: 5
cause: numpy-unseeded
"""

import numpy as np
import torch
from torch import nn


class Normaliser(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))

    def begin(self, size):
        self.mean.copy_(torch.from_numpy(np.random.uniform(-0.1, 0.1, size)))  # <- cause

    def forward(self, values):
        return values - self.mean


torch.manual_seed(22)
normaliser = Normaliser(5)
model = nn.Linear(5, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(16, 5)
for step in range(7):
    if step == 1:
        normaliser.begin(5)
    values = normaliser(inputs) if step >= 4 else inputs
    optimizer.zero_grad()
    (model(values) - 1).square().mean().backward()
    optimizer.step()
