"""Two ranks that average their gradients.

cause: none
ranks: 2
"""

import torch
import torch.distributed as dist
from torch import nn

dist.init_process_group("gloo")
torch.manual_seed(6)
model = nn.parallel.DistributedDataParallel(nn.Linear(5, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
torch.manual_seed(dist.get_rank())
for _ in range(4):
    optimizer.zero_grad()
    model(torch.randn(16, 5)).square().mean().backward()
    optimizer.step()
dist.destroy_process_group()
