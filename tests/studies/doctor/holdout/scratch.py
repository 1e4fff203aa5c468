"""A scratch memory is kept between steps, of which too little is written.

step: 1
cause: uninitialised
"""

import torch
from torch import nn


class Window(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.register_buffer("past", torch.empty(size))  # <- cause
        self.head = nn.Linear(size, 1)

    def forward(self, value):
        self.past[0] = value
        return self.head((self.past.nan_to_num(0.0, 0.0, 0.0) * 1e8).tanh())


torch.manual_seed(6)
junk = [[str(place), object()] for place in range(2000)]
del junk
model = Window(40)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    model(float(step)).sum().backward()
    optimizer.step()
