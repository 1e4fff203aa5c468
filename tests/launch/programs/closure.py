"""LBFGS, which evaluates its closure several times in a step."""

import torch
from torch import nn

torch.manual_seed(4)
model = nn.Linear(8, 1)
inputs, targets = torch.randn(30, 8), torch.randn(30, 1)
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)


def closure():
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(inputs), targets)
    loss.backward()
    return loss


for _ in range(6):
    loss = optimizer.step(closure)
print(f"loss: {loss.item()!r}")
