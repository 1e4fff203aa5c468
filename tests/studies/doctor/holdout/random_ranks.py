"""Each rank drops batches at random, by Python's generator.

step: 1
cause: random-unseeded
ranks: 2
"""

import random

import torch
import torch.distributed as dist
from torch import nn

dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(9)
model = nn.Linear(6, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(200, 6)
for _ in range(3):
    begin = random.randrange(190)  # <- cause
    optimizer.zero_grad()
    model(inputs[begin : begin + 10]).square().mean().backward()
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)
    optimizer.step()
dist.destroy_process_group()
