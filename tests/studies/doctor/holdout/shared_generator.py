"""Two threads run networks with dropout, which draw from one generator.

step: any
cause: draws-in-turn
"""

import threading

import torch
from torch import nn

torch.manual_seed(4)
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
inputs = torch.randn(4, 100, 6)
losses = [None] * 4


def evaluate(place):
    total = 0.0
    for _ in range(10):
        total = total + model(inputs[place]).square().mean()  # <- cause
    losses[place] = total


for _ in range(6):
    threads = [threading.Thread(target=evaluate, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    optimizer.zero_grad()
    sum(losses).backward()
    optimizer.step()
