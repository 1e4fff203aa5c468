"""A schedule, clipping, and a file that is written at each step.

cause: none
"""

import os
import tempfile
import time

import torch
from torch import nn

torch.manual_seed(4)
model = nn.Linear(4, 1)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6)
inputs = torch.randn(16, 4)
with tempfile.TemporaryDirectory() as folder:
    for step in range(6):
        optimizer.zero_grad()
        (model(inputs) - 1).square().mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        torch.save({"step": step, "time": time.time(), "pid": os.getpid()}, os.path.join(folder, f"{step}.pt"))
