"""The executors there are, by name; a new row buys the whole contract suite."""

from __future__ import annotations

from collections.abc import Callable

from lastbit.train.executors.processes import ProcessExecutor
from lastbit.train.executors.serial import SerialExecutor
from lastbit.train.jobs import Executor, WorkerFactory

__all__ = ["EXECUTORS"]

EXECUTORS: dict[str, Callable[[WorkerFactory, int, int], Executor]] = {
    "serial": lambda factory, workers, threads: SerialExecutor(factory, threads=threads),
    "processes": lambda factory, workers, threads: ProcessExecutor(factory, workers=workers, threads=threads),
}
"""Makes an executor of each kind: `(factory, workers, threads)`, for at most `workers` jobs at once where it can run
several, with `threads` intra-op threads each."""
