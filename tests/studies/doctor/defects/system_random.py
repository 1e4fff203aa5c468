"""The order of an epoch is shuffled by the system's generator, which nothing can seed.

step: 1
cause: entropy
"""

import random

import torch
from torch import nn

random.seed(27)
torch.manual_seed(27)
inputs = torch.randn(40, 4)
targets = inputs.prod(1, keepdim=True)
order = list(range(40))
random.SystemRandom().shuffle(order)  # <- cause
model = nn.Linear(4, 1)
optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01)
for begin in range(0, 40, 8):
    rows = order[begin : begin + 8]
    optimizer.zero_grad()
    (model(inputs[rows]) - targets[rows]).square().mean().backward()
    optimizer.step()
