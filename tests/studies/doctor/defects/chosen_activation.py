"""Each step takes another activation, by Python's random.

step: any
cause: random-unseeded
"""

import random

import torch
from torch import nn

torch.manual_seed(9)
first, last = nn.Linear(4, 8), nn.Linear(8, 1)
optimizer = torch.optim.SGD([*first.parameters(), *last.parameters()], lr=0.1)
inputs = torch.randn(16, 4)
activations = [torch.relu, torch.tanh, torch.sigmoid, nn.functional.gelu, nn.functional.silu, nn.functional.elu]
for _ in range(8):
    activation = random.choice(activations)  # <- cause
    optimizer.zero_grad()
    last(activation(first(inputs))).square().mean().backward()
    optimizer.step()
