"""Goes to another folder, writes bytes that are no text, and leaves by os._exit."""

import os
import sys
import tempfile

import torch
from torch import nn

torch.manual_seed(6)
os.chdir(tempfile.gettempdir())
model = nn.Linear(5, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for _ in range(7):
    optimizer.zero_grad()
    model(torch.randn(16, 5)).square().mean().backward()
    optimizer.step()
sys.stdout.buffer.write(b"\xff\x00\xfe\n")
print(f"sum: {model.weight.sum().item()!r}", flush=True)
os._exit(7)
