"""Bootstrap weights come from a RandomState that nobody seeded.

step: 1
cause: entropy
"""

import numpy as np
import torch
from torch import nn

torch.manual_seed(1)
np.random.seed(1)
state = np.random.RandomState()  # <- cause
inputs, targets = torch.randn(50, 4), torch.randn(50, 1)
counts = np.bincount(state.randint(0, 50, 50), minlength=50)
weights = torch.from_numpy(counts).float()[:, None]
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    (weights * (model(inputs) - targets).square()).mean().backward()
    optimizer.step()
