"""Two processes train the same weights in shared memory without a lock.

step: any
cause: other-process
"""

import torch
from torch import multiprocessing, nn


def train(model, place):
    torch.manual_seed(place)
    torch.set_num_threads(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    inputs = torch.randn(64, 30)
    for _ in range(60):
        optimizer.zero_grad()
        output = model(inputs)  # <- cause
        output.square().mean().backward()  # <- cause
        optimizer.step()  # <- cause


if __name__ == "__main__":
    torch.manual_seed(10)
    model = nn.Sequential(nn.Linear(30, 40), nn.Tanh(), nn.Linear(40, 1))
    model.share_memory()
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=train, args=(model, place)) for place in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
