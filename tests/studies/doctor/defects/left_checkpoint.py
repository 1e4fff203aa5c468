"""A checkpoint that the first run leaves behind is taken up by the second.

step: 1
cause: file-left
pair: sequential
"""

from pathlib import Path

import torch
from torch import nn

LAST = Path("last.pt")

torch.manual_seed(13)
model = nn.Linear(4, 1)
if LAST.exists():
    model.load_state_dict(torch.load(LAST))  # <- cause
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(16, 4)
for _ in range(4):
    optimizer.zero_grad()
    (model(inputs) - 1).square().mean().backward()
    optimizer.step()
torch.save(model.state_dict(), LAST)
