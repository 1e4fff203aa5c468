"""An LSTM, whose workspace differs at every step and goes nowhere.

cause: none
"""

import torch
from torch import nn

torch.manual_seed(8)
model, head = nn.LSTM(4, 6, batch_first=True), nn.Linear(6, 1)
optimizer = torch.optim.RMSprop([*model.parameters(), *head.parameters()], lr=0.01)
inputs = torch.randn(8, 5, 4)
for _ in range(4):
    optimizer.zero_grad()
    output, _ = model(inputs)
    head(output[:, -1]).square().mean().backward()
    optimizer.step()
