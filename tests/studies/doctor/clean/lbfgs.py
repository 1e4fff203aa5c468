"""LBFGS, which calls its closure several times a step.

cause: none
"""

import torch
from torch import nn

torch.manual_seed(3)
model = nn.Linear(4, 1)
inputs, targets = torch.randn(30, 4), torch.randn(30, 1)
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=5, line_search_fn="strong_wolfe")


def closure():
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(inputs), targets)
    loss.backward()
    return loss


for _ in range(3):
    optimizer.step(closure)
