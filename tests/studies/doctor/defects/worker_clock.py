"""Workers turn images by an angle that the clock tells.

step: 1
cause: clock
"""

import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


def angle():
    return time.perf_counter_ns() % 1000 / 1000  # <- cause


class Turned(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, place):
        turn = torch.tensor(angle())
        return torch.stack([turn.cos(), turn.sin()]) * (1 + place / 12)


if __name__ == "__main__":
    torch.manual_seed(8)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch in DataLoader(Turned(), batch_size=3, num_workers=2):
        optimizer.zero_grad()
        (model(batch) - 1).square().mean().backward()
        optimizer.step()
