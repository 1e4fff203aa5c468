"""Each worker of a DataLoader makes a generator of its own, without a seed.

step: 1
cause: default-rng
"""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Noisy(Dataset):
    def __init__(self):
        self.rows = torch.arange(48.0).reshape(16, 3) / 48
        self.rng = None

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, place):
        if self.rng is None:
            self.rng = np.random.default_rng()  # <- cause
        return self.rows[place] + torch.from_numpy(self.rng.normal(size=3)).float()


if __name__ == "__main__":
    torch.manual_seed(8)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch in DataLoader(Noisy(), batch_size=4, num_workers=2, shuffle=True):
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()
