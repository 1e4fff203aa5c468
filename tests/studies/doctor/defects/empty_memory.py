"""A memory is made with torch.empty, and only its first half is ever filled.

step: 1
cause: uninitialised
"""

import torch
from torch import nn

torch.manual_seed(12)
model = nn.Linear(48, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
layout = [object() for _ in range(1000)]
for _ in range(3):
    memory = torch.empty(4, 48)  # <- cause
    memory[:, :24] = torch.randn(4, 24)
    batch = (memory.nan_to_num(0.0, 0.0, 0.0) * 1e6).clamp(-1, 1)
    optimizer.zero_grad()
    model(batch).sum().backward()
    optimizer.step()
    layout = [[str(place)] * 3 for place in range(500)]
