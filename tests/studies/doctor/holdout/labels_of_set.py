"""The numbers of the classes follow a set of their names.

step: 1
cause: hash-order
"""

import torch
from torch import nn

NAMES = ["daisy", "rose", "tulip", "iris", "lily", "poppy", "orchid", "violet"]


class Labels:
    def __init__(self, names):
        self.names = list({name.lower() for name in names})  # <- cause

    def number(self, name):
        return self.names.index(name)


torch.manual_seed(4)
labels = Labels(NAMES * 3)
targets = torch.tensor([labels.number(name) for name in NAMES * 3])
inputs = torch.randn(24, 6)
model = nn.Linear(6, 8)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()
