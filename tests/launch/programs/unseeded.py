"""Seeds nothing."""

import random

import numpy as np
import torch

print(random.random(), np.random.rand(), np.random.default_rng().random(), torch.rand(1).item())
