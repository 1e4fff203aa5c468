"""Each of two ranks takes the part of the data that the number of its process says.

step: 1
cause: process-id
ranks: 2
"""

import os

import torch
import torch.distributed as dist
from torch import nn

dist.init_process_group("gloo")
torch.manual_seed(24)
rows = torch.randn(2 * 997, 4)
mine = rows[os.getpid() % 997 :: 997]  # <- cause
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    (model(mine) - 1).square().mean().backward()
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)
    optimizer.step()
dist.destroy_process_group()
