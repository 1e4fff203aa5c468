"""Jobs on several processes of this machine.

Processes are started fresh (never forked, and without running the caller's main module again), hold one worker each and
take the next job when they are free, so a slow job keeps one process busy and not the grid. Jobs and results travel
over the pipes of their standard input and output (`channel`): for each process a thread waits for what it says.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import MappingProxyType
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.core.threads import PROCESSES
from lastbit.train.executors.channel import unpacked
from lastbit.train.executors.started import Child, start_child
from lastbit.train.jobs import Event, Finished, Job, Progressed, Started, WorkerFactory, tell_crashed

__all__ = ["ProcessExecutor"]


_LOOK = 1.0
"""Seconds after which a wait begins anew: on Windows, Ctrl-C is seen between two waits."""


class ProcessExecutor:
    """Runs jobs on `workers` processes with `threads` intra-op threads each.

    A process sees the working folder and the caller's own folders of modules behind Python's and the installed ones: a
    `random.py` in them is never taken for Python's.

    Args:
        factory: makes the worker of a process.
        workers: number of processes.
        threads: of each.
        environment: variables that the processes see in place of this one's.
        places: likewise of the first, second, ... process, over again where there are more processes.
        lasting: whether the processes stay for further jobs, until `close`.
    """

    def __init__(
        self,
        factory: WorkerFactory,
        *,
        workers: int,
        threads: int = 1,
        environment: Mapping[str, str] = MappingProxyType({}),
        places: Sequence[Mapping[str, str]] = (),
        lasting: bool = False,
    ) -> None:
        self._factory = factory
        self._workers = workers
        self._threads = threads
        self._environment = environment
        self._places = places
        self._lasting = lasting
        self._children: list[Child] = []
        self._heard: SimpleQueue[tuple[Child, bytes | None]] = SimpleQueue()

    def _start_child(self) -> None:
        place = min(set(range(self._workers)) - {child.place for child in self._children})
        own = self._places[place % len(self._places)] if self._places else {}
        environment, modules = {**self._environment, **own, PROCESSES: str(self._workers)}, sys.path
        child = start_child(self._heard, threads=self._threads, place=place, environment=environment, modules=modules)
        self._children.append(child)
        self._children[-1].tell(self._factory)

    def _next(self) -> tuple[Child, str, Any]:
        """Wait for the next that a child says, and return it with its kind; one that died says so."""
        while True:
            with suppress(Empty):
                child, message = self._heard.get(timeout=_LOOK)
                break
        if message is None:
            return child, "died", child.ended_with()
        return child, *unpacked(message)

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> None:
        """Run every job; see `Executor.run`."""
        waiting, over = deque((job, 1) for job in jobs), False
        try:
            while waiting or any(child.job for child in self._children):
                idle = sum(child.job is None for child in self._children)
                for _ in range(min(len(waiting) - idle, self._workers - len(self._children))):
                    self._start_child()
                for child in self._children:
                    if child.job is None and waiting:
                        child.job, child.attempt = waiting.popleft()
                        on_event(Started(child.job, child.attempt))
                        child.tell(("run", child.job.payload))
                self._receive(waiting, on_event)
            over = True
        finally:
            if not (self._lasting and over):
                self.close()

    def _receive(self, waiting: deque[tuple[Job, int]], on_event: Callable[[Event], None]) -> None:
        child, kind, value = self._next()
        job, attempt = child.job, child.attempt
        if kind == "died":
            value = f"its process died ({value})"
            child.process.kill()
            child.end(5)
            self._children.remove(child)
        if job is None:  # it died with nothing to do
            return
        if kind == "progress":
            on_event(Progressed(job, value))
            return
        child.job = None
        if kind == "done":
            on_event(Finished(job, attempt, value))
        elif kind == "stop":
            raise LastbitError(value)
        else:
            waiting.extend(tell_crashed(job, attempt, value, on_event))

    def steps_per_second(self) -> float:
        """Measure a few steps of the work on every process at once (they go on to run the jobs)."""
        while len(self._children) < self._workers:
            self._start_child()
        for request in ("ready", "measure"):
            for child in self._children:
                child.tell((request, None))
            answers = [self._answer() for _ in self._children]
        return float(sum(1 / seconds for seconds in answers))

    def _answer(self) -> Any:
        _, kind, value = self._next()
        if kind == "died":
            raise LastbitError(f"a worker process died before its first run ({value}): try --workers 1")
        if kind == "stop":
            raise LastbitError(value)
        if kind != "done":
            raise LastbitError(f"a worker process could not start ({value}): try --workers 1")
        return value

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        for child in self._children:
            child.process.terminate()
        deadline = time.monotonic() + 5
        for child in self._children:
            child.end(max(0.1, deadline - time.monotonic()))
        self._children.clear()
        # What they said last is for nobody.
        self._heard = SimpleQueue()
