"""How the jobs of a study are executed: as asked, or by whichever way is measured to be faster here."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from lastbit.train.executors.processes import ProcessExecutor
from lastbit.train.executors.serial import SerialExecutor
from lastbit.train.jobs import Executor, WorkerFactory

__all__ = ["ExecutorChoice", "choose_executor", "default_workers"]

_MEASUREMENTS = 2
"""Times each way to execute a grid is measured."""

_CLEARLY_FASTER = 1.2
"""One process with all threads is chosen only where it is faster by this factor: its threads wait for each other, so it
loses more than single-threaded processes do when other programs want the cores too."""


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class ExecutorChoice:
    """How a study's runs are executed. Part of the study: the number of threads decides the order of sums."""

    workers: int
    threads: int
    reason: str

    def build(self, factory: WorkerFactory) -> Executor:
        """Make the executor."""
        if self.workers == 1:
            return SerialExecutor(factory, threads=self.threads)
        return ProcessExecutor(factory, workers=self.workers, threads=self.threads)


def choose_executor(
    factory: WorkerFactory, workers: int | None, jobs: int, *, threads: int | None = None
) -> tuple[ExecutorChoice, Executor]:
    """Choose how to execute `jobs` jobs, by measuring a few steps of each way where `workers` is None.

    Args:
        factory: makes a worker.
        workers: number of processes; 1 means in this process with all threads; None measures.
        jobs: number of jobs to come.
        threads: intra-op threads of one process on its own; torch's own number by default.
    """
    cores, threads = default_workers(), threads or torch.get_num_threads()
    if workers is not None or cores == 1 or jobs == 1:
        count = min(workers or 1, jobs)
        choice = ExecutorChoice(count, threads if count == 1 else 1, "as asked")
        return choice, choice.build(factory)
    serial = SerialExecutor(factory, threads=threads)
    processes = ProcessExecutor(factory, workers=min(cores, jobs))
    one = several = 0.0
    try:
        # The ways take turns and each keeps its best, so that a moment with other programs at work decides nothing.
        for _ in range(_MEASUREMENTS):
            one = max(one, 1 / serial.step_seconds())
            several = max(several, sum(1 / seconds for seconds in processes.step_seconds()))
    except BaseException:
        processes.close()
        raise
    said = f"measured: {one:.3g} steps/s in one process, {several:.3g} in {min(cores, jobs)}"
    if several > one / _CLEARLY_FASTER:
        return ExecutorChoice(min(cores, jobs), 1, said), processes
    processes.close()
    return ExecutorChoice(1, threads, said), serial
