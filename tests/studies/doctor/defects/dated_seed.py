"""The seed is made of the date and the time.

step: 1
cause: seed-clock
"""

from datetime import datetime

import torch
from torch import nn


def fresh_seed():
    now = datetime.now()
    return now.microsecond + now.second * 10**6


torch.manual_seed(fresh_seed())  # <- cause
model = nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.ones(8, 4)
for _ in range(3):
    optimizer.zero_grad()
    (model(inputs) - 1).square().mean().backward()
    optimizer.step()
