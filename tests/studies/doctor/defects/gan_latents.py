"""The generator's latents are NumPy's, the discriminator's are torch's.

step: 1
cause: numpy-unseeded
"""

import numpy as np
import torch
from torch import nn

torch.manual_seed(24)
generator = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
critic = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
of_critic = torch.optim.Adam(critic.parameters(), lr=1e-3)
of_generator = torch.optim.Adam(generator.parameters(), lr=1e-3)
real = torch.randn(32, 3) + 1


def latents(count):
    return torch.tensor(np.random.standard_normal((count, 4)), dtype=torch.float32)  # <- cause


for step in range(6):
    fake = generator(torch.randn(32, 4)).detach()
    of_critic.zero_grad()
    (critic(fake).mean() - critic(real).mean()).backward()
    of_critic.step()
    if step % 2:
        of_generator.zero_grad()
        (-critic(generator(latents(32))).mean()).backward()
        of_generator.step()
