"""Padding is never written.

step: 1
cause: uninitialised
"""

import torch
from torch import nn


def padded(rows, length):
    result = rows[0].new_empty((len(rows), length))  # <- cause
    for place, row in enumerate(rows):
        result[place, : len(row)] = row
    return result


torch.manual_seed(7)
model = nn.Linear(30, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    names = [[str(place)] * 4 for place in range(300)]
    rows = [torch.randn(length) for length in (7, 3, 12)]
    del names
    batch = padded(rows, 30).nan_to_num(0.0, 0.0, 0.0)
    optimizer.zero_grad()
    model((batch * 1e8).tanh()).sum().backward()
    optimizer.step()
