"""Parts of a corpus are written to files named by uuid4, and read back in the order of their names.

step: 1
cause: random-names
"""

import tempfile
import uuid
from pathlib import Path

import numpy as np
import torch
from torch import nn


def split(rows, folder):
    for part in rows.reshape(20, 6, 4):
        name = f"{uuid.uuid4().hex}.npy"  # <- cause
        np.save(folder / name, part)  # <- cause


torch.manual_seed(11)
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    split(np.random.default_rng(3).normal(size=(120, 4)), folder)
    for path in sorted(folder.iterdir()):
        batch = torch.from_numpy(np.load(path)).float()
        optimizer.zero_grad()
        (model(batch) - batch.sum(1, keepdim=True)).square().mean().backward()
        optimizer.step()
