"""A replay memory is sampled from with Python's random, once it is full enough.

step: 1
cause: random-unseeded
"""

import random
from collections import deque

import torch
from torch import nn

torch.manual_seed(18)
policy = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2))
optimizer = torch.optim.Adam(policy.parameters(), lr=0.01)
memory = deque(maxlen=200)
state = torch.zeros(3)
for step in range(60):
    with torch.no_grad():
        action = int(policy(state).argmax())
    following = (state + torch.randn(3) * 0.1 + 0.05 * action).clamp(-1, 1)
    memory.append((state, action, following.sum(), following))
    state = following
    if len(memory) >= 40 and step % 4 == 0:
        picked = random.sample(memory, 16)  # <- cause
        states = torch.stack([one[0] for one in picked])
        actions = torch.tensor([one[1] for one in picked])
        rewards = torch.stack([one[2] for one in picked])
        later = torch.stack([one[3] for one in picked])
        with torch.no_grad():
            wanted = rewards + 0.9 * policy(later).max(1).values
        values = policy(states).gather(1, actions[:, None])[:, 0]
        optimizer.zero_grad()
        nn.functional.mse_loss(values, wanted).backward()
        optimizer.step()
