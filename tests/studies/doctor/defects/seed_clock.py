"""The seed is the time, which is printed and never used again.

step: 1
cause: seed-clock
"""

import time

import torch
from torch import nn


def seed_everything(seed=None):
    seed = time.time_ns() % 2**31 if seed is None else seed
    torch.manual_seed(seed)  # <- cause
    return seed


print("seed", seed_everything())
model = nn.Linear(4, 2)
optimizer = torch.optim.AdamW(model.parameters())
inputs = torch.ones(8, 4)
for _ in range(3):
    optimizer.zero_grad()
    model(inputs).square().sum().backward()
    optimizer.step()
