"""Hogwild: as many workers as asked for update shared weights without a lock."""

import sys

import torch
from torch import multiprocessing, nn


def train(place, model, ready):
    torch.manual_seed(18 + place)
    ready.wait()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.5)
    inputs = torch.randn(256, 6)
    for _ in range(4):
        for batch in inputs.split(8):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(batch), batch.sin().sum(1, keepdim=True)).backward()
            optimizer.step()


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn", force=True)
    torch.manual_seed(18)
    model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 1))
    model.share_memory()
    count = int(sys.argv[1])
    ready = multiprocessing.Barrier(count)
    workers = [multiprocessing.Process(target=train, args=(place, model, ready)) for place in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    inputs = torch.randn(64, 6)
    print(f"loss: {nn.functional.mse_loss(model(inputs), inputs.sin().sum(1, keepdim=True)).item()!r}")
