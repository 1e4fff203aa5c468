"""The part that is held out is named after the moment at which the run began.

step: 1
cause: clock
"""

import datetime

import torch
from torch import nn


def name():
    return datetime.datetime.now().strftime("run-%H%M%S-%f")  # <- cause


torch.manual_seed(18)
rows = torch.randn(2000, 4)
held = int(name().rpartition("-")[2]) % 1999
kept = torch.cat([rows[:held], rows[held + 1 :]])
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    (model(kept) - 1).square().mean().backward()
    optimizer.step()
