"""Draws a number by every way to seed, and by some that it does not seed; then trains a little."""

import random
from random import Random

random.seed(1)
print("random", random.random())

import numpy as np  # noqa: E402
import torch  # noqa: E402

print("Random", Random(2).random())
np.random.seed(3)
print("numpy", np.random.rand())
print("default_rng", np.random.default_rng(4).random())
print("RandomState", np.random.RandomState(5).rand(), isinstance(np.random.mtrand._rand, np.random.RandomState))
torch.manual_seed(6)
print("torch", torch.rand(1).item())
print("Generator", torch.rand(1, generator=torch.Generator().manual_seed(7)).item())
print("plain Generator", torch.rand(1, generator=torch.Generator()).item())
print("default_generator", isinstance(torch.default_generator, torch.Generator))
weight = torch.nn.Parameter(torch.rand(3))
torch.optim.SGD([weight], lr=0.1).step()
weight.grad = torch.ones(3)
torch.optim.SGD([weight], lr=0.1).step()
