"""Mix-up takes its share from NumPy's beta distribution.

step: 1
cause: numpy-unseeded
"""

import numpy as np
import torch
from torch import nn


def mixed(inputs, targets, alpha):
    share = np.random.beta(alpha, alpha)  # <- cause
    other = torch.randperm(len(inputs))
    return share * inputs + (1 - share) * inputs[other], share * targets + (1 - share) * targets[other]


torch.manual_seed(1)
inputs = torch.randn(32, 4)
targets = inputs.sum(1, keepdim=True)
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    rows, wanted = mixed(inputs, targets, 0.4)
    optimizer.zero_grad()
    nn.functional.mse_loss(model(rows), wanted).backward()
    optimizer.step()
