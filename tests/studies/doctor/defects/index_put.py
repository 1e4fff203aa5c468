"""The backward pass of advanced indexing adds with two threads, in whatever order they come.

step: 1
cause: operation
"""

import torch
from torch import nn

torch.manual_seed(11)
torch.set_num_threads(2)
table = nn.Parameter(torch.randn(40, 8))
optimizer = torch.optim.SGD([table], lr=0.1)
rows = torch.randint(40, (400_000,))
weights = torch.randn(400_000, 1)
for _ in range(3):
    optimizer.zero_grad()
    picked = table[rows]  # <- cause
    (picked * weights).tanh().sum().backward()
    optimizer.step()
