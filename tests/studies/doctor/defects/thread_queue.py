"""Threads prepare batches, which are taken as they come.

step: any
cause: thread-order
"""

import queue
import threading

import torch
from torch import nn

torch.manual_seed(9)
torch.set_num_threads(1)
model = nn.Linear(16, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
parts = torch.randn(24, 120, 16)
ready = queue.Queue()


def prepare(place):
    rows = parts[place]
    for _ in range(20 + place % 5):
        rows = torch.tanh(rows)
    ready.put(rows)


for _ in range(3):
    threads = [threading.Thread(target=prepare, args=(place,)) for place in range(24)]
    for thread in threads:
        thread.start()
    taken = [ready.get() for _ in threads]  # <- cause
    total = torch.zeros(120, 16)
    for place, rows in enumerate(taken):
        total = total + rows * (1 + place)
    optimizer.zero_grad()
    model(total).square().mean().backward()
    optimizer.step()
    for thread in threads:
        thread.join()
