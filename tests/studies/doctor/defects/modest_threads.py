"""Whoever comes second takes one thread only.

step: 1
cause: threads-differ
"""

import os

import torch
from torch import nn


def threads():
    """Leave a core to others that train here."""
    try:
        os.close(os.open("training.lock", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return 1
    return 2


torch.manual_seed(21)
torch.set_num_threads(threads())
scale = nn.Parameter(torch.ones(3))
optimizer = torch.optim.SGD([scale], lr=1e-3)
inputs = torch.randn(300_000)
for _ in range(3):
    optimizer.zero_grad()
    mean = inputs.sum()  # <- cause
    (scale.sum() * mean / 1e5).backward()
    optimizer.step()
