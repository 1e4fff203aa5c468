"""Training ends when its time is up, by the clock that never goes back; a thread waits by the same clock.

step: any
cause: clock
"""

import threading
import time

import torch
from torch import nn

torch.manual_seed(16)
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(16, 4)
written = threading.Event()
threading.Timer(0.01, written.set).start()
deadline = time.monotonic() + 0.7
while time.monotonic() < deadline:  # <- cause
    optimizer.zero_grad()
    (model(inputs) - 1).square().mean().backward()
    optimizer.step()
    written.wait(0.001)
