"""How the jobs of a study are executed: as asked, or by whichever way is measured to be faster here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch

from lastbit.core.threads import own_cores
from lastbit.core.words import plural
from lastbit.train.executors.processes import ProcessExecutor
from lastbit.train.executors.replicas import ReplicasExecutor
from lastbit.train.executors.serial import SerialExecutor
from lastbit.train.jobs import Executor, MeasuredExecutor, Together, WorkerFactory

__all__ = ["EXECUTORS", "ExecutorChoice", "choose_executor", "default_workers", "gpus", "unmeasured_choice"]

_MEASUREMENTS = 2
"""Times each way to execute a grid is measured."""

_CLEARLY_FASTER = 1.2
"""Several threads that share a step are chosen only where they are faster by this factor: they wait for each other, so
they lose more than single threads do when other programs want the cores too."""


def gpus() -> list[str]:
    """Return the GPUs that this process may use, each as `CUDA_VISIBLE_DEVICES` names it."""
    count, named = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(number) for number in range(count)] if named is None else [one.strip() for one in named.split(",")]
    return names[:count]


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return own_cores()


@dataclass(frozen=True)
class ExecutorChoice:
    """How a study's runs are executed. Part of the study: the number of threads decides the order of sums."""

    workers: int
    threads: int
    reason: str
    executor: str = ""
    """A key of `EXECUTORS`; empty for the one that follows from the number of processes."""
    together: Together | None = None
    """How runs are done in step with each other, where they are."""

    def build(self, factory: WorkerFactory, *, places: Sequence[Mapping[str, str]] = ()) -> MeasuredExecutor:
        """Make the executor.

        Args:
            factory: makes a worker.
            places: variables of the first, second, ... process, over again where there are more processes.
        """
        name = self.executor or ("serial" if self.workers == 1 and not places else "processes")
        return EXECUTORS[name](self, factory, places)


def _serial(choice: ExecutorChoice, factory: WorkerFactory, places: Sequence[Mapping[str, str]]) -> MeasuredExecutor:
    return SerialExecutor(factory, threads=choice.threads)


def _processes(choice: ExecutorChoice, factory: WorkerFactory, places: Sequence[Mapping[str, str]]) -> MeasuredExecutor:
    return ProcessExecutor(factory, workers=choice.workers, threads=choice.threads, places=places)


def _replicas(choice: ExecutorChoice, factory: WorkerFactory, places: Sequence[Mapping[str, str]]) -> MeasuredExecutor:
    if choice.together is None:  # what is trained refuses every way to be stepped with others
        return SerialExecutor(factory, threads=choice.threads)
    return ReplicasExecutor(factory, together=choice.together, threads=choice.threads)


EXECUTORS: dict[str, Callable[[ExecutorChoice, WorkerFactory, Sequence[Mapping[str, str]]], MeasuredExecutor]] = {
    "serial": _serial,
    "processes": _processes,
    "replicas": _replicas,
}
"""What makes each executor, given the choice, what makes a worker, and variables of the processes."""


def choose_executor(
    factory: WorkerFactory, workers: int | None, jobs: int, *, threads: int | None = None, small: bool = False
) -> tuple[ExecutorChoice, Executor]:
    """Choose how to execute `jobs` jobs: as asked, or by measuring a few steps of each way under the present load.

    Args:
        factory: makes a worker.
        workers: number of processes; 1 means in this process; None measures.
        jobs: number of jobs to come.
        threads: intra-op threads of every process; None measures those of one process on its own, and gives several
            processes one each.
        small: whether a step is too small for several threads to share.
    """
    cores, each = default_workers(), threads or 1
    alone = [threads] if threads else sorted({1, 1 if small else torch.get_num_threads()})
    count = min(workers or max(1, cores // each), jobs)
    ways = [(1, number) for number in alone] if workers is None or count == 1 else []
    ways += [(count, each)] if count > 1 else []
    if len(ways) == 1:
        choice = ExecutorChoice(*ways[0], "as asked" if workers or threads else "a small network, or a single core")
        return choice, choice.build(factory)
    worker = cache(factory)  # one for every number of threads
    built = [ExecutorChoice(*way, "").build(factory if way[0] > 1 else worker) for way in ways]
    rates = [0.0] * len(ways)
    try:
        # The ways take turns and each keeps its best, so that a moment with other programs at work decides nothing.
        for _ in range(_MEASUREMENTS):
            for place, executor in enumerate(built):
                rates[place] = max(rates[place], executor.steps_per_second())
    except BaseException:
        _close(built)
        raise
    worth = [rate / (_CLEARLY_FASTER if way[1] > each else 1) for rate, way in zip(rates, ways, strict=True)]
    best = max(range(len(ways)), key=worth.__getitem__)
    _close(built[:best] + built[best + 1 :])
    told = [f"{rate:.3g} steps/s with {_way(*way)}" for rate, way in zip(rates, ways, strict=True)]
    return ExecutorChoice(*ways[best], f"measured: {', '.join(told)}"), built[best]


def unmeasured_choice(
    workers: int | None, jobs: int, *, threads: int | None = None, shared: bool = False
) -> ExecutorChoice:
    """Choose how to execute jobs of which no step can be measured: as asked, or a process for every core.

    Args:
        workers: number of processes; None fills the cores.
        jobs: number of jobs to come.
        threads: intra-op threads of every process; None shares those of this one out.
        shared: whether jobs write into one folder, so that they run one after another unless otherwise asked.
    """
    if shared and workers is None:
        return ExecutorChoice(1, threads or torch.get_num_threads(), "one after another: the runs share a folder")
    cores = default_workers()
    count = min(workers or max(1, cores // (threads or 1)), jobs)
    each = threads or max(1, torch.get_num_threads() // count)
    return ExecutorChoice(count, each, "as asked" if workers or threads else "one process for every core")


def _way(workers: int, threads: int) -> str:
    return plural(workers, "process", "processes") if workers > 1 else plural(threads, "thread")


def _close(executors: Sequence[Executor]) -> None:
    for executor in executors:
        executor.close()
