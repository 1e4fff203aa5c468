"""Jobs that are alike in step with each other, in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from lastbit.core.errors import LastbitError
from lastbit.core.interrupts import noticed
from lastbit.core.threads import threads as torch_threads
from lastbit.train.executors.serial import CallerRaisedError, SerialExecutor, progressed
from lastbit.train.jobs import (
    Event,
    Finished,
    Job,
    Started,
    Together,
    TogetherWorker,
    WorkerFactory,
    one_line,
    tell_crashed,
)

__all__ = ["ReplicasExecutor"]


class ReplicasExecutor(SerialExecutor):
    """Runs jobs that are alike in groups, in this process, with `threads` intra-op threads.

    What one of a group raises where the steps are taken ends the group: each of its jobs is tried once more, in a group
    of its own, so that only the one to blame crashes for good.

    Args:
        factory: makes the worker.
        together: how the jobs of a group are done, and how many they are at most.
        threads: intra-op threads.
    """

    def __init__(self, factory: WorkerFactory, *, together: Together, threads: int) -> None:
        super().__init__(factory, threads=threads)
        self._together = together

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> None:
        """Run every job; see `Executor.run`."""
        waiting = deque((job, 1) for job in jobs)
        with torch_threads(self._threads), noticed() as interrupts:
            while waiting:
                worker = cast(TogetherWorker, self._worker())
                for job, attempt, result in self._done(worker, self._group(worker, waiting), on_event):
                    if not isinstance(result, BaseException):
                        on_event(Finished(job, attempt, result))
                        continue
                    interrupts.check()
                    waiting.extend(tell_crashed(job, attempt, one_line(result), on_event))
                interrupts.check()

    def _group(self, worker: TogetherWorker, waiting: deque[tuple[Job, int]]) -> list[tuple[Job, int]]:
        """Take the next jobs that are alike; one that crashed before is alone."""
        group = [waiting.popleft()]
        alike = worker.alike(group[0][0].payload)
        while waiting and group[0][1] == waiting[0][1] == 1 and len(group) < self._together.size:
            if worker.alike(waiting[0][0].payload) != alike:
                break
            group.append(waiting.popleft())
        return group

    def _done(
        self, worker: TogetherWorker, group: Sequence[tuple[Job, int]], on_event: Callable[[Event], None]
    ) -> list[tuple[Job, int, Any]]:
        """Do the jobs of a group, and return each with its result or what ended it."""
        for job, attempt in group:
            on_event(Started(job, attempt))
        try:
            progress = [partial(progressed, on_event, job) for job, _ in group]
            results = worker.run_together([job.payload for job, _ in group], progress, self._together)
        except LastbitError:
            raise
        except CallerRaisedError as raised:
            raise raised.error from None
        except (Exception, SystemExit) as error:
            results = [error] * len(group)
        return [(job, attempt, result) for (job, attempt), result in zip(group, results, strict=True)]
