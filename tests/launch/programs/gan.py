"""Two networks with an Adam each, stepped in turn."""

import torch
from torch import nn

torch.manual_seed(3)
maker, judge = nn.Linear(4, 6), nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
makers, judges = torch.optim.Adam(maker.parameters(), lr=1e-3), torch.optim.Adam(judge.parameters(), lr=1e-3)
real = torch.randn(32, 6)
for _ in range(10):
    judges.zero_grad()
    loss = judge(maker(torch.randn(32, 4)).detach()).mean() - judge(real).mean()
    loss.backward()
    judges.step()
    makers.zero_grad()
    (-judge(maker(torch.randn(32, 4))).mean()).backward()
    makers.step()
print(f"loss: {loss.item()!r}")
