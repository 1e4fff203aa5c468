"""Samples are split into training and test by the hash of their names.

step: 1
cause: hash-order
"""

import torch
from torch import nn


def is_training(name):
    return hash(name) % 4 != 0  # <- cause


torch.manual_seed(4)
names = [f"image-{number:03d}" for number in range(80)]
inputs, targets = torch.randn(80, 5), torch.randn(80, 1)
chosen = [place for place, name in enumerate(names) if is_training(name)]
model = nn.Linear(5, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    (model(inputs[chosen]) - targets[chosen]).square().mean().backward()
    optimizer.step()
