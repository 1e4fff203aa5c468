"""Tensors in a list are shuffled by a Random that has no seed.

step: 1
cause: random-random
"""

import random

import torch
from torch import nn

random.seed(3)
torch.manual_seed(3)
shuffler = random.Random()  # <- cause
sequences = [torch.randn(5, 4) for _ in range(12)]
shuffler.shuffle(sequences)
model = nn.GRU(4, 3)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for sequence in sequences[:4]:
    optimizer.zero_grad()
    model(sequence)[0].square().mean().backward()
    optimizer.step()
