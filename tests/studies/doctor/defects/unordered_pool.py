"""Processes measure texts, and their rows are stacked as they come.

step: 1
cause: completion-order
"""

import multiprocessing
import time

import torch
from torch import nn


def measure(text):
    time.sleep(0.002 * (len(text) % 4))
    return [len(text) / 10, text.count("a") / 10, len(set(text)) / 10]


def main():
    torch.manual_seed(3)
    texts = ["ab" * (number % 7) + "c" * (number % 5) + "a" for number in range(60)]
    with multiprocessing.get_context("fork").Pool(3) as pool:
        rows = torch.tensor(list(pool.imap_unordered(measure, texts)))  # <- cause
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for part in rows.split(6):
        optimizer.zero_grad()
        (model(part[:, :2]) - part[:, 2:]).square().mean().backward()
        optimizer.step()


if __name__ == "__main__":
    main()
