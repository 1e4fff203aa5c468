"""A teacher follows the student with a random pace, and teaches from the fourth step on.

step: 4
cause: random-unseeded
"""

import copy
import random
import time

import torch
from torch import nn

torch.manual_seed(23)
student = nn.Linear(6, 2)
teacher = copy.deepcopy(student)
optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
inputs = torch.randn(16, 6)
for step in range(6):
    began = time.time()
    output = student(inputs)
    loss = (output - 1).square().mean()
    if step >= 3:
        with torch.no_grad():
            taught = teacher(inputs)
        loss = loss + 0.5 * (output - taught).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    pace = 0.9 + 0.05 * random.random()  # <- cause
    with torch.no_grad():
        for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
            slow.mul_(pace).add_(fast, alpha=1 - pace)
    print(step, loss.item(), time.time() - began)
