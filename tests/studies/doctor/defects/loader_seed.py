"""The generator that shuffles is seeded with the time, so that epochs differ.

step: 1
cause: seed-clock
"""

import time

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(29)
inputs = torch.randn(40, 4)
shuffler = torch.Generator()
shuffler.manual_seed(time.time_ns() % 2**32)  # <- cause
loader = DataLoader(TensorDataset(inputs, inputs.sum(1)), batch_size=8, shuffle=True, generator=shuffler)
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for rows, wanted in loader:
    optimizer.zero_grad()
    (model(rows)[:, 0] - wanted).square().mean().backward()
    optimizer.step()
