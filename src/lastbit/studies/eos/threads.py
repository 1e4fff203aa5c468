"""How many threads a small network is stepped with: more than one cost more than they save."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lastbit.core.generators import LentGenerators
from lastbit.tasks import Task

__all__ = ["needs_threads", "suitable_threads", "weight_count"]

SMALL = 20_000_000
"""Weights times examples of a step below which one thread is used. Measured on the digits network (5 million) on two
cores that other work shared: 3 ms a step with one thread, 30 to 100 ms with two, which wait for each other."""


def needs_threads(task: Task) -> bool:
    """Tell whether a step of the task is large enough for several threads to share."""
    return weight_count(task) * task.batch_size >= SMALL


def weight_count(task: Task) -> int:
    """Count the weights of the task's network, without touching a random generator."""
    with LentGenerators(0).active():
        return sum(p.numel() for p in task.model().parameters())


@contextmanager
def suitable_threads(task: Task) -> Iterator[None]:
    """Step small networks with one thread, others with torch's own number, and put it back.

    The number decides the order of sums, and with it the last bits: it follows from the task alone on one machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(before if needs_threads(task) else 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
