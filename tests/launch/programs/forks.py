"""Trains in a forked child only, with its optimizer made before."""

import os

import torch
from torch import nn

torch.manual_seed(7)
model = nn.Linear(5, 40)
optimizer = torch.optim.Adam(model.parameters())
inputs = torch.randn(16, 5)
child = os.fork()
if child == 0:
    for _ in range(12):
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()
    print(f"sum: {model.weight.sum().item()!r}", flush=True)
    os._exit(0)
os.waitpid(child, 0)
