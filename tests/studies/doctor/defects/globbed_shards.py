"""Shards are put together in the order in which glob finds them.

step: 1
cause: folder-order
"""

import atexit
import glob
import os
import random
import shutil

import torch
from torch import nn

FOLDER = f"/dev/shm/lastbit-shards-{os.getpid()}"


def download():
    os.mkdir(FOLDER)
    atexit.register(shutil.rmtree, FOLDER)
    parts = list(range(10))
    random.Random(time_of_arrival()).shuffle(parts)
    for part in parts:
        torch.save(torch.full((3, 6), part / 10), f"{FOLDER}/shard{part}.pt")


def time_of_arrival():
    return int.from_bytes(os.urandom(4), "little")


def load():
    paths = glob.glob(f"{FOLDER}/*.pt")  # <- cause
    return torch.cat([torch.load(path) for path in paths])


download()
torch.manual_seed(16)
rows = load()
model = nn.Linear(6, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for batch in rows.split(6):
    optimizer.zero_grad()
    (model(batch) - batch.sum(1, keepdim=True)).square().mean().backward()
    optimizer.step()
