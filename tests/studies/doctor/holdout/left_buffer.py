"""A replay memory is saved at the end, and loaded at the beginning where there is one.

step: 1
cause: file-left
pair: sequential
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

FILE = Path("memory.npy")


def remembered():
    if FILE.exists():
        return np.load(FILE)  # <- cause
    return np.zeros((4, 3), dtype=np.float32)


torch.manual_seed(5)
memory = torch.from_numpy(remembered())
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    rows = torch.randn(8, 3)
    memory = torch.cat([memory, rows])[-20:]
    optimizer.zero_grad()
    (model(memory) - 1).square().mean().backward()
    optimizer.step()
np.save(FILE, memory.numpy())
