"""Datasets to be read in this process and by others: a loader process imports this module."""

import os
import random
import signal
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset

from lastbit import Task

X = torch.randn(37, 6, generator=torch.Generator().manual_seed(3))
Y = (X[:, 0] * X[:, 1] > 0).long()


class Rows(Dataset):
    """The rows of X with their labels."""

    def __init__(self, size=37):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return X[index], int(Y[index])


class Noisy(Rows):
    """The same with noise from each of the three global generators."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + 0.1 * torch.randn(6) + 0.1 * float(np.random.randn()) + 0.1 * random.gauss(), y  # noqa: NPY002


class Batched(Noisy):
    """Which fetches many at once too."""

    def __getitems__(self, indices):
        return [self[index] for index in indices]


class Failing(Rows):
    """Of which one row cannot be read, for a reason that cannot be pickled."""

    class Odd(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} {two}")

    def __getitem__(self, index):
        if index == 11:
            raise Failing.Odd("no such", "file\nand more")
        return super().__getitem__(index)


class Killing(Rows):
    """Which ends the process that reads one row for the first time."""

    def __init__(self, mark):
        super().__init__()
        self.mark, self.home = Path(mark), os.getpid()

    def __getitem__(self, index):
        if index == 11 and os.getpid() != self.home and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


class Ragged(Rows):
    """Sequences of 1 to 6 numbers."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x[: 1 + index % 6], y


class Shuffled(IterableDataset):
    """A stream that is shuffled in a buffer of five by Python's generator, with noise from torch's."""

    def __len__(self):
        return 37

    def __iter__(self):
        buffer = []
        for row in zip(X, Y, strict=True):
            buffer.append(row)
            if len(buffer) == 5:
                x, y = buffer.pop(random.randrange(5))
                yield x + torch.randn(6), y
        yield from buffer


def masked(items):
    """A collate function that draws."""
    x = torch.stack([x for x, _ in items])
    return x * (torch.rand_like(x) < 0.8), torch.tensor([y for _, y in items])


def reading_task(train, **changes):
    """A small task that reads its examples from a dataset."""
    parts = {
        "name": "read",
        "model": lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 2)),
        "train": train,
        "test": Rows(),
        "optimizer": lambda params: torch.optim.SGD(params, lr=0.3, momentum=0.9),
        "batch_size": 8,
        "epochs": 2,
    }
    return Task(**parts | changes)
