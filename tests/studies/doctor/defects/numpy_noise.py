"""After a warm-up, noise of NumPy's global generator is added to the inputs.

step: 4
cause: numpy-unseeded
"""

import time

import numpy as np
import torch
from torch import nn

torch.manual_seed(3)
model = nn.Linear(5, 1)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
inputs = torch.randn(32, 5)
targets = inputs.sum(1, keepdim=True)
for step in range(6):
    began = time.perf_counter()
    batch = inputs
    if step >= 3:
        noise = np.random.normal(0.0, 0.1, size=(32, 5))  # <- cause
        batch = inputs + torch.from_numpy(noise).float()
    loss = nn.functional.mse_loss(model(batch), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step}: loss {loss.item():.4f} in {time.perf_counter() - began:.4f} s")
