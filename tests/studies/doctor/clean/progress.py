"""Progress is told by a clock, a date and a queue with a time-out, and none of them decides anything.

cause: none
"""

import datetime
import queue
import threading
import time

import torch
from torch import nn

torch.manual_seed(9)
model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
batches = queue.Queue(2)


def feed(rows):
    for batch in rows.split(8):
        batches.put(batch, timeout=10)


feeder = threading.Thread(target=feed, args=(torch.randn(48, 4),))
feeder.start()
began, last = time.monotonic(), time.monotonic_ns()
for step in range(6):
    batch = batches.get(timeout=10)
    optimizer.zero_grad()
    loss = (model(batch) - 1).square().mean()
    loss.backward()
    optimizer.step()
    if time.monotonic_ns() - last > 10**6:
        last = time.monotonic_ns()
        print(f"{datetime.datetime.now():%H:%M:%S} step {step}: {loss.item()}, {time.monotonic() - began} s")
feeder.join()
