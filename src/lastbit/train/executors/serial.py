"""Jobs one after another in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.core.interrupts import noticed
from lastbit.core.threads import threads as torch_threads
from lastbit.train.jobs import ATTEMPTS, Crashed, Event, Finished, Job, Progressed, Started, WorkerFactory, one_line

__all__ = ["CallerRaisedError", "SerialExecutor", "progressed"]


class SerialExecutor:
    """Runs the jobs one after another in this process, with `threads` intra-op threads."""

    def __init__(self, factory: WorkerFactory, *, threads: int) -> None:
        self._worker = cache(factory)  # one, which a measurement and the runs after it share
        self._threads = threads

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> None:
        """Run every job; see `Executor.run`."""
        with torch_threads(self._threads), noticed() as interrupts:
            worker = self._worker()
            for job in jobs:
                for attempt in range(1, ATTEMPTS + 1):
                    on_event(Started(job, attempt))
                    try:
                        result = worker.run(job.payload, partial(progressed, on_event, job))
                    except LastbitError:
                        raise
                    except CallerRaisedError as raised:
                        raise raised.error from None
                    except (Exception, SystemExit) as error:  # a process of its own would end by either, alone
                        interrupts.check()
                        on_event(Crashed(job, attempt, one_line(error), attempt == ATTEMPTS))
                    else:
                        on_event(Finished(job, attempt, result))
                        interrupts.check()
                        break

    def steps_per_second(self) -> float:
        """Measure a few steps of the work in this process; see `Executor.steps_per_second`."""
        with torch_threads(self._threads):
            try:
                return 1 / self._worker().step_seconds()
            except LastbitError:
                raise
            except (Exception, SystemExit) as error:
                raise LastbitError(f"the first steps of the training raised {one_line(error)}") from error

    def close(self) -> None:
        """Nothing to end: this process stays."""


class CallerRaisedError(BaseException):
    """Carries what the caller's `on_event` raised past the job in which it was called, and which is not to blame."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def progressed(on_event: Callable[[Event], None], job: Job, state: Any) -> None:
    """Tell the caller how a job gets on.

    Raises:
        CallerRaisedError: the caller raised.
    """
    try:
        on_event(Progressed(job, state))
    except Exception as error:
        raise CallerRaisedError(error) from None
