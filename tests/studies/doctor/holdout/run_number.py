"""The seed is the number of runs so far.

step: 1
cause: seed-varies
pair: sequential
"""

import os

import torch
from torch import nn

os.makedirs("runs", exist_ok=True)
number = len(os.listdir("runs"))
open(f"runs/{number}", "w").close()
torch.manual_seed(number)  # <- cause
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.ones(16, 4)
for _ in range(3):
    optimizer.zero_grad()
    model(inputs).square().mean().backward()
    optimizer.step()
