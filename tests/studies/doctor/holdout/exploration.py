"""Exploration noise is NumPy's, and it reaches the critic from the third step on.

step: 3
cause: numpy-unseeded
"""

import numpy as np
import torch
from torch import nn

torch.manual_seed(8)
actor, critic = nn.Linear(3, 2), nn.Linear(5, 1)
optimizer = torch.optim.Adam(critic.parameters(), lr=0.01)
transitions = []
state = torch.zeros(3)
for step in range(5):
    with torch.no_grad():
        action = actor(state) + torch.tensor(np.random.normal(size=2), dtype=torch.float32)  # <- cause
    transitions.append(torch.cat([state, action]))
    state = torch.randn(3)
    batch = torch.stack(transitions) if step >= 2 else torch.ones(2, 5)
    optimizer.zero_grad()
    (critic(batch) - 1).square().mean().backward()
    optimizer.step()
