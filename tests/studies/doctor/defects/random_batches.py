"""Batches are drawn by Python's random, of which nobody thought.

step: 1
cause: random-unseeded
"""

import random

import numpy as np
import torch
from torch import nn


def batches(count, size, steps):
    for _ in range(steps):
        yield random.sample(range(count), size)  # <- cause


torch.manual_seed(0)
np.random.seed(0)
inputs = torch.randn(64, 4)
targets = (inputs[:, :1] > 0).float()
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for chosen in batches(len(inputs), 8, 5):
    optimizer.zero_grad()
    nn.functional.binary_cross_entropy_with_logits(model(inputs[chosen]), targets[chosen]).backward()
    optimizer.step()
