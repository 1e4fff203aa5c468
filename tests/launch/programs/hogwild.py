"""Trains shared weights in a process that was started anew; `--start` says how."""

import sys

import torch
from torch import multiprocessing, nn


def train(model, place):
    torch.manual_seed(8 + place)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.randn(16, 5)).square().mean().backward()
        optimizer.step()


if __name__ == "__main__":
    torch.manual_seed(8)
    model = nn.Linear(5, 2)
    model.share_memory()
    context = multiprocessing.get_context(sys.argv[1])
    for place in range(2):  # one after the other, so that it repeats
        worker = context.Process(target=train, args=(model, place), daemon=True)
        worker.start()
        worker.join()
    print(f"sum: {model.weight.sum().item()!r}")
