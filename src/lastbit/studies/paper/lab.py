"""What a claim measures with: studies that go on where they were stopped, functions mapped over processes, one thread.

Whatever decides bits is fixed here rather than chosen by a machine's load: the threads, and the seeds of the pieces.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits

from lastbit.core.threads import threads as torch_threads
from lastbit.studies.frame.study import Study
from lastbit.studies.kinds import kind_named
from lastbit.studies.paper.on_ray import mapped_on_ray
from lastbit.train.executors.on_ray import RayRoom

__all__ = ["Lab", "one_thread"]

T = TypeVar("T")
U = TypeVar("U")


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread in torch, BLAS and OpenMP: the number decides the order of sums."""
    with torch_threads(1), threadpool_limits(1):
        yield


@dataclass(frozen=True, kw_only=True)
class Lab:
    """Where and how a piece is measured.

    Attributes:
        scale: `small`, `medium` or `full`.
        device: where networks are trained.
        folder: of the claim; studies lie in it.
        workers: number of processes; 1 stays in this one. It decides no number.
        quiet: show no progress.
        room: on the Ray cluster that this process is in; None is on this machine.
    """

    scale: str
    device: torch.device
    folder: Path
    workers: int = 2
    quiet: bool = False
    room: RayRoom | None = None

    def study(self, kind: str, name: str, task: Any = None, **settings: Any) -> Study[Any]:
        """Return a finished study, made anew or gone on with where it was stopped.

        Args:
            kind: of study, as its command is called.
            name: of its folder.
            task: as the function of that kind takes it.
            **settings: likewise.

        Raises:
            LastbitError: a setting is invalid, or a run cannot go on.
        """
        from lastbit.studies.frame.make import make

        path = self.folder / name
        begun = (path / "study.json").exists()
        given = {"device": str(self.device), **settings}
        where: dict[str, Any] = {"resume": path} if begun else {"out": path, "threads": 1}
        asked = {} if begun else given
        on: dict[str, Any] = {"workers": self.workers}
        if self.room is not None:
            on = {"executor": "ray", "workers": self.room.most, "ray_address": self.room.address}
            on |= {"per_run_cpus": self.room.cpus, "per_run_gpus": self.room.gpus}
        return make(kind_named(kind), None if begun else task, quiet=self.quiet, **on, **where, **asked)

    def map(self, function: Callable[[T], U], items: Sequence[T]) -> list[U]:
        """Return what a function of a module says of each item, in order; with one thread each.

        Args:
            function: at the top level of a module, and deterministic.
            items: that another process can be given.
        """
        if self.room is not None:
            return mapped_on_ray(function, items, self.room, self.folder, str(self.device))
        if self.workers == 1 or len(items) < 2:
            with one_thread():
                return [function(item) for item in items]
        # A process begun anew shares no state with this one, whose threads a fork would not survive.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(self.workers, len(items)), context, initializer=_alone) as pool:
            return list(pool.map(function, items))


def _alone() -> None:
    """Leave a process of the pool one thread for as long as it lives."""
    torch.set_num_threads(1)
    threadpool_limits(1)
