"""A window of past values is made by NumPy, and only its end is ever written.

step: any
cause: unfilled-array
"""

import numpy
import torch
from torch import nn

torch.manual_seed(8)
model = nn.Linear(64, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
junk = [[str(place), object()] for place in range(3000)]
del junk
for step in range(6):
    window = numpy.empty(64, dtype=numpy.float32)  # <- cause
    window[48:] = numpy.arange(16) * step / 10
    past = torch.from_numpy(window).nan_to_num(0.0, 0.0, 0.0)
    optimizer.zero_grad()
    model((past * 1e20).tanh()).sum().backward()
    optimizer.step()
