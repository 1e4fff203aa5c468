"""Batches are taken from whichever worker has one first.

step: any
cause: worker-order
"""

import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Images(Dataset):
    def __len__(self):
        return 400

    def __getitem__(self, place):
        time.sleep(0.001)
        return torch.full((4,), place / 400)


if __name__ == "__main__":
    torch.manual_seed(21)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch in DataLoader(Images(), batch_size=1, num_workers=4, in_order=False):  # <- cause
        optimizer.zero_grad()
        (model(batch) - 1).square().mean().backward()
        optimizer.step()
