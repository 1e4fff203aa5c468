"""Evaluation, which moves the schedule, comes whenever some time has passed.

step: 1
cause: clock
"""

import time

import torch
from torch import nn


class Watch:
    def __init__(self):
        self.last = time.monotonic()

    def elapsed(self):
        now = time.monotonic()  # <- cause
        passed, self.last = now - self.last, now
        return passed


torch.manual_seed(2)
watch = Watch()
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(16, 4)
for _ in range(3):
    loss = model(inputs).square().mean() * (1 + watch.elapsed())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
