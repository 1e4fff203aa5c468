"""Pairs of words share a table, by their hashes.

step: 1
cause: hash-order
"""

import torch
from torch import nn

WORDS = ["red", "green", "blue", "round", "square", "small", "large", "near", "far"]


class Pairs(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size = size
        self.table = nn.Embedding(size, 4)
        self.head = nn.Linear(4, 1)

    def bucket(self, first, second):
        return hash((first, second)) % self.size  # <- cause

    def forward(self, pairs):
        places = torch.tensor([self.bucket(*pair) for pair in pairs])
        return self.head(self.table(places).tanh())


torch.manual_seed(3)
model = Pairs(100)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
pairs = [(first, second) for first in WORDS for second in WORDS if first < second]
targets = torch.randn(len(pairs), 1)
for _ in range(3):
    optimizer.zero_grad()
    (model(pairs) - targets).square().mean().backward()
    optimizer.step()
