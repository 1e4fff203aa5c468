"""Two ranks on one machine, under torchrun."""

import os
import sys

import torch
import torch.distributed as dist
from torch import nn

dist.init_process_group("gloo")
torch.manual_seed(9)
model = nn.parallel.DistributedDataParallel(nn.Linear(5, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
torch.manual_seed(dist.get_rank())
for _ in range(6):
    optimizer.zero_grad()
    model(torch.randn(16, 5)).square().mean().backward()
    optimizer.step()
if dist.get_rank() == 0:
    print(f"sum: {model.module.weight.sum().item()!r}")
dist.barrier()
dist.destroy_process_group()
sys.stdout.flush()
os._exit(0)  # about one rank in a hundred aborts in torch's own tearing down, after Python has ended
