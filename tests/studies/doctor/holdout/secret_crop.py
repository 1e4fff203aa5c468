"""Images are cropped at a place that the secrets module chooses.

step: 1
cause: entropy
"""

import secrets

import torch
from torch import nn


def cropped(images, size):
    left = secrets.randbelow(images.shape[-1] - size)  # <- cause
    return images[..., left : left + size]


torch.manual_seed(7)
images = torch.randn(8, 1, 16, 512)
model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    model(cropped(images, 12)).square().mean().backward()
    optimizer.step()
