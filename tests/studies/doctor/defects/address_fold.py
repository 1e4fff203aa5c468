"""Records are spread over folds by the addresses of their objects.

step: 1
cause: address-order
"""

import torch
from torch import nn


class Record:
    def __init__(self, row):
        self.row = row


torch.manual_seed(17)
inputs = torch.randn(90, 4)
records = [Record(row) for row in range(90)]
rows = [record.row for record in records if id(record) % 7]  # <- cause
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    (model(inputs[rows]) - 1).square().mean().backward()
    optimizer.step()
