"""Threads append their losses to a list, and the list is summed with weights.

step: any
cause: thread-order
"""

import threading

import torch
from torch import nn

torch.manual_seed(10)
torch.set_num_threads(1)
model = nn.Linear(30, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
parts = torch.randn(20, 150, 30)


class Collector:
    def __init__(self):
        self.losses = []

    def run(self, part):
        self.losses.append(model(part).tanh().square().mean())

    def total(self):
        stacked = torch.stack(self.losses)  # <- cause
        return (stacked * torch.arange(1.0, 21.0)).sum()


for _ in range(5):
    collector = Collector()
    threads = [threading.Thread(target=collector.run, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    optimizer.zero_grad()
    collector.total().backward()
    optimizer.step()
