"""Policy gradients in an environment of the script's own, whose actions decide what comes next."""

import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical


class Corridor:
    """Reach the right end; each step costs one, and the floor is slippery."""

    def __init__(self, seed):
        self.generator = np.random.default_rng(seed)

    def reset(self):
        self.place = 0.0
        return self.place

    def step(self, action):
        self.place += (1 if action else -1) + self.generator.normal(scale=0.5)
        return self.place, -1.0, self.place > 4


torch.manual_seed(15)
world = Corridor(15)
policy = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 2))
optimizer = torch.optim.Adam(policy.parameters(), lr=3e-3)
running = 0.0
for episode in range(40):
    state, logs, rewards, done = world.reset(), [], [], False
    while not done and len(rewards) < 60:
        choices = Categorical(logits=policy(torch.tensor([state / 5], dtype=torch.float32)))
        action = choices.sample()
        logs.append(choices.log_prob(action))
        state, reward, done = world.step(action.item())
        rewards.append(reward)
    returns = torch.tensor(rewards).flip(0).cumsum(0).flip(0)
    returns = (returns - returns.mean()) / (returns.std() + 1e-6)
    loss = -(torch.stack(logs) * returns).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running = 0.9 * running + 0.1 * sum(rewards)
    if episode % 10 == 9:
        print(f"Episode {episode + 1}\tLast reward: {sum(rewards)}\tAverage reward: {running:.2f}")
print(f"loss: {loss.item()!r}")
