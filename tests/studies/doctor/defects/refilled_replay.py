"""A thread replaces samples of a replay memory in place while the training reads them.

step: any
cause: written-meanwhile
"""

import threading

import numpy as np
import torch
from torch import nn

torch.manual_seed(6)
torch.set_num_threads(1)
memory = np.random.default_rng(1).normal(size=(200, 30)).astype(np.float32)
over = threading.Event()


def refill():
    samples = np.random.default_rng(2)
    while not over.is_set():
        memory[samples.integers(200)] = samples.normal(size=30)


states = torch.from_numpy(memory)
model = nn.Sequential(nn.Linear(30, 10), nn.ReLU(), nn.Linear(10, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
threading.Thread(target=refill).start()  # <- cause
try:
    for _ in range(15):
        optimizer.zero_grad()
        model(states).square().mean().backward()
        optimizer.step()
finally:
    over.set()
