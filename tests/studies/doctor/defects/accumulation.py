"""Gradients are accumulated for as long as a batch may take.

step: 1
cause: clock
"""

import time

import torch
from torch import nn

torch.manual_seed(3)
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
data = torch.randn(100_000, 4)


def batches():
    place = 0
    while True:
        yield data[place : place + 8]
        place = (place + 8) % len(data)


source = batches()
for _ in range(2):
    optimizer.zero_grad()
    began = time.perf_counter()
    while time.perf_counter() - began < 0.1:  # <- cause
        model(next(source)).square().mean().backward()
    optimizer.step()
