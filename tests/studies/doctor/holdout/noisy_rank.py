"""One of two ranks augments with NumPy, and its gradients reach the other.

step: 1
cause: numpy-unseeded
ranks: 2
"""

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

dist.init_process_group("gloo")
torch.manual_seed(8)
model = nn.parallel.DistributedDataParallel(nn.Linear(5, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(16, 5)
for _ in range(3):
    batch = inputs
    if dist.get_rank() == 1:
        batch = inputs + torch.as_tensor(np.random.standard_normal(5), dtype=torch.float32)  # <- cause
    optimizer.zero_grad()
    (model(batch) - 1).square().mean().backward()
    optimizer.step()
dist.destroy_process_group()
