"""A generator of NumPy's own is made without a seed, though the global ones are seeded.

step: 1
cause: default-rng
"""

import numpy as np
import torch
from torch import nn


class Sampler:
    def __init__(self, count):
        self.count = count
        self.rng = np.random.default_rng()  # <- cause

    def epoch(self):
        return self.rng.permutation(self.count)


torch.manual_seed(1)
np.random.seed(1)
inputs, targets = torch.randn(40, 3), torch.randn(40, 1)
sampler = Sampler(40)
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
order = sampler.epoch()
for begin in range(0, 40, 10):
    chosen = torch.as_tensor(order[begin : begin + 10])
    optimizer.zero_grad()
    (model(inputs[chosen]) - targets[chosen]).square().mean().backward()
    optimizer.step()
