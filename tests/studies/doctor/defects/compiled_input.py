"""A compiled model is handed a temperature that the clock tells.

step: 1
cause: clock
"""

import time

import torch
from torch import nn

torch.manual_seed(23)
model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 3))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
inputs = torch.randn(16, 4)
began = time.monotonic()


@torch.compile
def loss(inputs, temperature):
    return torch.logsumexp(model(inputs) / temperature, 1).mean()


for _ in range(3):
    temperature = torch.tensor(1 + time.monotonic() - began)  # <- cause
    optimizer.zero_grad()
    loss(inputs, temperature).backward()
    optimizer.step()
