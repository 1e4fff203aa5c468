"""What executors run: jobs, what they report, and who does them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = [
    "Crashed",
    "Event",
    "Executor",
    "Finished",
    "Job",
    "MeasuredExecutor",
    "Progressed",
    "RunFailed",
    "Started",
    "Together",
    "TogetherWorker",
    "Worker",
    "WorkerFactory",
    "one_line",
    "tell_crashed",
]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One unit of work."""

    name: str
    payload: Any


@dataclass(frozen=True)
class Started:
    """A worker took the job (attempts are counted from 1)."""

    job: Job
    attempt: int


@dataclass(frozen=True)
class Progressed:
    """The job is under way; `state` is what the worker says of it."""

    job: Job
    state: Any


@dataclass(frozen=True)
class Finished:
    """The job returned `result`."""

    job: Job
    attempt: int
    result: Any


@dataclass(frozen=True)
class Crashed:
    """The job raised, or its process died; `final` says that it will not be tried again."""

    job: Job
    attempt: int
    message: str
    final: bool


Event = Started | Progressed | Finished | Crashed


class RunFailed(Exception):
    """A job came to a bad end that is its program's own; the message says it, and no name of an exception belongs."""


def one_line(error: BaseException) -> str:
    """Return an exception as one line that any file can hold."""
    said = " ".join(str(error).split())
    text = (said if isinstance(error, RunFailed) else f"{type(error).__name__}: {said}")[:500]
    return text.encode("utf-8", "backslashreplace").decode()


class Worker(Protocol):
    """Does jobs, one after another, in one process."""

    def run(self, payload: Any, progress: Callable[[Any], None]) -> Any:
        """Do one job. A `LastbitError` ends the whole grid; any other exception is a crash of this job."""

    def step_seconds(self) -> float:
        """Measure one step of the work."""


@dataclass(frozen=True)
class Together:
    """How jobs are done together, which decides their bits."""

    engine: str
    """Name of what takes their steps, in `lastbit.train.replicas.engines`."""
    size: int
    """How many there are at most; fewer are computed as so many."""


class TogetherWorker(Worker, Protocol):
    """A worker that can do several jobs in step with each other."""

    def alike(self, payload: Any) -> Hashable:
        """Return what jobs must agree in to be done together."""

    def run_together(
        self, payloads: Sequence[Any], progress: Sequence[Callable[[Any], None]], how: Together
    ) -> list[Any]:
        """Do jobs that are alike, and return the result of each, or the exception that it alone raised."""


WorkerFactory = Callable[[], Worker]
"""Makes a worker; for processes it must be picklable. Called once per process, so what it loads is loaded once."""


class Executor(Protocol):
    """Runs jobs and reports what happens to them."""

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> None:
        """Run every job. A job that crashes is tried once more; the others go on.

        Raises:
            LastbitError: a worker met something that no other run would get past (a full disk).
        """

    def close(self) -> None:
        """End what it started, whatever that is doing."""


class MeasuredExecutor(Executor, Protocol):
    """One whose speed can be measured before the jobs, which go on in what was started for it."""

    def steps_per_second(self) -> float:
        """Measure a few steps of the work, of all processes together.

        Raises:
            LastbitError: a step of the work raised, or a process died.
        """


ATTEMPTS = 2
"""Times a job is tried when it crashes."""


def tell_crashed(job: Job, attempt: int, message: str, on_event: Callable[[Event], None]) -> list[tuple[Job, int]]:
    """Tell that an attempt crashed, and return the job with the next one; nothing where it was the last."""
    final = attempt >= ATTEMPTS
    on_event(Crashed(job, attempt, message, final))
    return [] if final else [(job, attempt + 1)]
