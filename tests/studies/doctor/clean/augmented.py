"""Augmentation by threads of a pool, in the order of the samples; sorted sets and files.

cause: none
"""

import random
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn

torch.manual_seed(9)
images = torch.randn(16, 1, 6, 6)
labels = {name: place for place, name in enumerate(sorted({"cat", "dog", "bird"}))}
targets = torch.tensor([labels[("cat", "dog", "bird")[place % 3]] for place in range(16)])


def augment(task):
    place, seed = task
    rng = random.Random(seed)
    image = images[place].roll(rng.randrange(3), dims=-1)
    return image.flip(-1) if rng.random() < 0.5 else image


model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
with ThreadPoolExecutor(3) as pool:
    for epoch in range(3):
        batch = torch.stack(list(pool.map(augment, [(place, 100 * epoch + place) for place in range(16)])))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch), targets).backward()
        optimizer.step()
