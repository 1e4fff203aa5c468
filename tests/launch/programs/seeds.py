"""Draws a number by every way to seed, and by some that it does not seed; then trains a little."""

import copy
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
print("PCG64", np.random.Generator(np.random.PCG64(8)).random())
print("Philox", np.random.Generator(np.random.Philox(seed=8)).random())
held = np.random.SeedSequence(9, spawn_key=(1,))
children = [np.random.default_rng(child).random() for child in held.spawn(2)]
print("SeedSequence", np.random.Generator(np.random.PCG64(held)).random(), *children, sep="|")
print("copied", copy.copy(held).entropy, isinstance(held, np.random.SeedSequence), sep="|")
torch.manual_seed(6)
print("torch", torch.rand(1).item())
print("Generator", torch.rand(1, generator=torch.Generator().manual_seed(7)).item())
print("plain Generator", torch.rand(1, generator=torch.Generator()).item())
print("default_generator", isinstance(torch.default_generator, torch.Generator))
weight = torch.nn.Parameter(torch.rand(3))
torch.optim.SGD([weight], lr=0.1).step()
weight.grad = torch.ones(3)
torch.optim.SGD([weight], lr=0.1).step()
