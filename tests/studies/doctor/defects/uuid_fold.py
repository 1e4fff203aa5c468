"""The fold that is left out comes from the run's identifier.

step: 1
cause: entropy
"""

import uuid

import torch
from torch import nn

torch.manual_seed(2)
run = uuid.uuid4()  # <- cause
inputs, targets = torch.randn(60, 4), torch.randn(60, 1)
fold = run.int % 59
keep = [row for row in range(60) if row != fold and row % 59 != (run.int // 59) % 59]
train, wanted = inputs[keep], targets[keep]
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    (model(train) - wanted).square().mean().backward()
    optimizer.step()
