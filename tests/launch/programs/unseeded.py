"""Seeds nothing."""

import random

import numpy as np
import torch

print(np.random.Generator(np.random.SFC64()).random())
print(
    random.random(),
    np.random.rand(),
    np.random.default_rng().random(),
    np.random.Generator(np.random.SFC64()).random(),
    torch.rand(1).item(),
)
