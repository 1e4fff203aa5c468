"""Rank 0 adds what the others send, in the order in which it comes.

step: any
cause: collective-order
ranks: 4
"""

import torch
import torch.distributed as dist
from torch import nn

dist.init_process_group("gloo")
torch.manual_seed(26)
torch.set_num_threads(1)
rank, size = dist.get_rank(), dist.get_world_size()
model = nn.Linear(8, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
torch.manual_seed(rank)
for _ in range(8):
    optimizer.zero_grad()
    model(torch.randn(64, 8)).square().mean().backward()
    gradient = model.weight.grad
    if rank == 0:
        for _ in range(size - 1):
            arrived = torch.zeros_like(gradient)
            dist.recv(arrived)  # <- cause
            gradient.mul_(0.7).add_(arrived)  # <- cause
    else:
        dist.send(gradient, 0)
    dist.broadcast(gradient, 0)
    optimizer.step()
dist.destroy_process_group()
