"""Atomic additions on a GPU, in whatever order they come.

step: 1
cause: operation
"""

import torch
from torch import nn

torch.manual_seed(11)
table = nn.Parameter(torch.randn(40, 8, device="cuda"))
optimizer = torch.optim.SGD([table], lr=0.1)
rows = torch.randint(40, (400_000,), device="cuda")
weights = torch.randn(400_000, 8, device="cuda")
for _ in range(3):
    optimizer.zero_grad()
    added = torch.zeros(40, 8, device="cuda").index_add(0, rows, weights)  # <- cause
    (table * added).tanh().sum().backward()
    optimizer.step()
