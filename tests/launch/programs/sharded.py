"""FSDP2 under torchrun: each rank holds rows of every weight; of the smallest the second holds none."""

import os
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (dist.get_world_size(),))
torch.manual_seed(12)
model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 1))
for part in (model[0], model[2], model):
    fully_shard(part, mesh=mesh)
optimizer = getattr(torch.optim, sys.argv[1])(model.parameters(), lr=0.1)
for _ in range(6):
    optimizer.zero_grad()
    model(torch.randn(16, 5)).square().mean().backward()
    optimizer.step()
total = sum(parameter.full_tensor().double().sum() for parameter in model.parameters())
if dist.get_rank() == 0:
    print(f"sum: {total.item()!r}")
dist.barrier()
dist.destroy_process_group()
sys.stdout.flush()
os._exit(0)  # about one rank in a hundred aborts in torch's own tearing down, after Python has ended
