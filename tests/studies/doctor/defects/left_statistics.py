"""Statistics of the data are kept in a file, and updated whenever the program runs.

step: 1
cause: file-left
pair: sequential
"""

import json
import os

import torch
from torch import nn

torch.manual_seed(6)
inputs = torch.randn(30, 3) + 2
statistics = {"mean": 0.0, "count": 0}
if os.path.exists("statistics.json"):
    with open("statistics.json") as file:  # <- cause
        statistics = json.load(file)
count = statistics["count"] + 1
mean = statistics["mean"] + (inputs.mean().item() - statistics["mean"]) / (count + 1)
with open("statistics.json", "w") as file:
    json.dump({"mean": mean, "count": count}, file)
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    model(inputs - mean).square().mean().backward()
    optimizer.step()
