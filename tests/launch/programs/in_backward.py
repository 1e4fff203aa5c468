"""Each weight has an optimizer that steps in the backward pass, as soon as its gradient is there."""

import torch
from torch import nn

torch.manual_seed(17)
model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 1))
optimizers = {param: torch.optim.AdamW([param], lr=1e-2, foreach=False) for param in model.parameters()}


def update(param):
    optimizers[param].step()
    optimizers[param].zero_grad()


for param in model.parameters():
    param.register_post_accumulate_grad_hook(update)
inputs = torch.randn(64, 6)
targets = inputs.sin().sum(1, keepdim=True)
for _ in range(60):
    loss = nn.functional.mse_loss(model(inputs), targets)
    loss.backward()
print(f"loss: {loss.item()!r}")
