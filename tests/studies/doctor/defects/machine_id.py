"""Examples are drawn by an identifier that is made of the clock and of the machine.

step: 1
cause: seed-entropy
"""

import random
import uuid

import torch
from torch import nn

torch.manual_seed(19)
run = uuid.uuid1().hex
drawn = random.Random(run).sample(range(500), 64)  # <- cause
rows = torch.randn(500, 4)[drawn]
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    (model(rows) - 1).square().mean().backward()
    optimizer.step()
