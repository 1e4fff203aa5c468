"""How many threads torch computes one operation with. The number decides the order of sums, and with it the last bits.

A small network is stepped with one: more cost more than they save.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lastbit.core.generators import LentGenerators

__all__ = ["PROCESSES", "needs_threads", "own_cores", "processes", "threads", "weight_count"]

PROCESSES = "LASTBIT_PROCESSES"
"""The environment variable that tells a worker process how many there are of its kind."""

SMALL = 20_000_000
"""Weights times examples of a step below which one thread is used. Measured on the digits network (5 million) on two
cores that other work shared: 3 ms a step with one thread, 30 to 100 ms with two, which wait for each other."""


def own_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processes() -> int:
    """Return the number of processes of one study that share the cores, this one among them."""
    return int(os.environ.get(PROCESSES, "1"))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with `count` threads, and put torch's number back at the end."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def weight_count(model: Callable[[], nn.Module]) -> int:
    """Count the weights of the network that `model` makes, without touching a random generator."""
    with LentGenerators(0).active():
        return sum(p.numel() for p in model().parameters())


def needs_threads(model: Callable[[], nn.Module], batch_size: int) -> bool:
    """Tell whether a step on `batch_size` examples is large enough for several threads to share."""
    return weight_count(model) * batch_size >= SMALL
