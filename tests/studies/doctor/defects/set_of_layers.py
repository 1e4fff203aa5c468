"""Layers are initialised in the order of a set of their names.

step: 1
cause: hash-order
"""

import torch
from torch import nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        for name in ("query", "key", "value", "gate", "output"):
            setattr(self, name, nn.Linear(5, 5))
        self.begin(frozenset(name for name, _ in self.named_children()))  # <- cause

    def begin(self, names):
        for name in names:  # <- cause
            nn.init.orthogonal_(getattr(self, name).weight)

    def forward(self, values):
        mixed = self.query(values) * self.key(values).sigmoid() + self.value(values)
        return self.output(mixed * self.gate(values))


torch.manual_seed(4)
model = Network()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(12, 5)
for _ in range(2):
    optimizer.zero_grad()
    model(inputs).square().mean().backward()
    optimizer.step()
