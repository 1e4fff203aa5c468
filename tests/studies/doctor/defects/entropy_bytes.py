"""A key for label smoothing is made of the system's entropy.

step: 1
cause: entropy
"""

import os

import torch
from torch import nn

torch.manual_seed(5)
key = torch.frombuffer(bytearray(os.urandom(12)), dtype=torch.uint8)  # <- cause
smooth = key.float() / 2550
model = nn.Linear(12, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(24, 12)
for _ in range(3):
    optimizer.zero_grad()
    model(inputs * (1 - smooth)).logsumexp(1).mean().backward()
    optimizer.step()
