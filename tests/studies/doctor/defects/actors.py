"""Processes gather episodes and put them into one queue.

step: any
cause: thread-order
"""

import torch
from torch import multiprocessing, nn


def act(place, queue, over):
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(place)
    for _ in range(6):
        queue.put(torch.randn(20, 3, generator=generator).cumsum(0))
    over.wait()  # what it sent lies in its memory until it is taken


if __name__ == "__main__":
    torch.manual_seed(10)
    context = multiprocessing.get_context("fork")
    queue, over = context.Queue(), context.Event()
    actors = [context.Process(target=act, args=(place, queue, over), daemon=True) for place in range(4)]
    for actor in actors:
        actor.start()
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(24):
        episode = queue.get()  # <- cause
        optimizer.zero_grad()
        (model(episode[:-1]) - episode[1:, :1]).square().mean().backward()
        optimizer.step()
    over.set()
