"""Every process shall draw other noise, so its number is added to the seed.

step: 1
cause: seed-process
"""

import os

import torch
from torch import nn


def seeded(base):
    torch.manual_seed(base + os.getpid())  # <- cause


def main():
    torch.manual_seed(5)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seeded(1000)
    for _ in range(3):
        inputs = torch.randn(16, 4)
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()


main()
