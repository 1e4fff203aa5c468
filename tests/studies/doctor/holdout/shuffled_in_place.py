"""An array of indices is shuffled in place, in the second epoch.

step: 5
cause: numpy-unseeded
"""

import time

import numpy as np
import torch
from torch import nn


class Data:
    def __init__(self):
        self.rows = torch.randn(32, 4)
        self.order = np.arange(32)

    def epoch(self, shuffle):
        if shuffle:
            np.random.shuffle(self.order)  # <- cause
        for begin in range(0, 32, 8):
            yield self.rows[self.order[begin : begin + 8]]


torch.manual_seed(1)
data = Data()
model = nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters())
for epoch in range(2):
    began = time.time()
    for rows in data.epoch(shuffle=epoch > 0):
        optimizer.zero_grad()
        (model(rows) - rows.sum(1, keepdim=True)).square().mean().backward()
        optimizer.step()
    print(epoch, time.time() - began)
