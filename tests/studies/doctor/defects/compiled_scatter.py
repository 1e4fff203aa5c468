"""The backward pass of an embedding is compiled into one kernel, whose threads add in whatever order they come.

step: any
cause: compiled
"""

import torch
from torch import nn

torch.manual_seed(11)
torch.set_num_threads(2)
table = nn.Parameter(torch.randn(40, 8))
optimizer = torch.optim.SGD([table], lr=0.1)
rows = torch.randint(40, (400_000,))
weights = torch.randn(400_000, 1)


@torch.compile  # <- cause
def loss():
    return (table[rows] * weights).tanh().sum()


for _ in range(12):
    optimizer.zero_grad()
    loss().backward()
    optimizer.step()
