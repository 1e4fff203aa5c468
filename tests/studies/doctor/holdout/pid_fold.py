"""Which part of the data a process takes depends on its number.

step: 1
cause: process-id
"""

import os

import torch
from torch import nn


def shard(rows, parts):
    return rows[os.getpid() % parts :: parts]  # <- cause


torch.manual_seed(7)
rows = torch.randn(997 * 2, 4)
mine = shard(rows, 997)
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    (model(mine) - 1).square().mean().backward()
    optimizer.step()
