"""Two optimizers, and a timing tensor that goes nowhere.

cause: none
"""

import time

import torch
from torch import nn

torch.manual_seed(5)
generator, critic = nn.Linear(4, 3), nn.Linear(3, 1)
of_generator = torch.optim.Adam(generator.parameters())
of_critic = torch.optim.Adam(critic.parameters())
times = torch.zeros(4)
for step in range(4):
    times[step] = time.perf_counter()
    of_critic.zero_grad()
    (critic(generator(torch.randn(8, 4)).detach()).mean() - critic(torch.randn(8, 3)).mean()).backward()
    of_critic.step()
    of_generator.zero_grad()
    (-critic(generator(torch.randn(8, 4))).mean()).backward()
    of_generator.step()
print(times.diff().mean().item())
