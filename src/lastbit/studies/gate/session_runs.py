"""How the runs of a session are executed: one after another, several at once, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lastbit.core.interrupts import noticed
from lastbit.core.status import RunStatus
from lastbit.store import RunClaim
from lastbit.studies.frame.asked import Asked
from lastbit.studies.frame.travel import home_of, luggage_of
from lastbit.studies.gate.contender import Contender
from lastbit.studies.gate.runs import Ended, job_of, worker_factory
from lastbit.train.executors.choose import default_workers
from lastbit.train.executors.on_ray import RayExecutor, RayRoom
from lastbit.train.executors.processes import ProcessExecutor
from lastbit.train.executors.serial import SerialExecutor
from lastbit.train.jobs import Crashed, Event, Executor, Finished, Progressed
from lastbit.train.jobs import Job as Queued

__all__ = ["SessionRuns"]

_ALL = 1 << 10
"""Runs at once where a cluster decides: more than any look asks for."""


@dataclass(frozen=True, kw_only=True)
class SessionRuns:
    """Trains the runs of a session.

    Attributes:
        folder: of the session.
        asked: how the user wants them executed.
        threads: of each run.
        room: on a Ray cluster; None on this machine.
        tell: told what happens.
    """

    folder: Path
    asked: Asked
    threads: int
    room: RayRoom | None
    tell: Callable[[str], None]
    _executors: dict[str, Executor] = field(default_factory=dict)

    def at_once(self, one: Contender) -> int:
        """Return how many runs of a program are trained at once; those of a command share a folder."""
        if self.asked.workers is not None:
            return self.asked.workers
        if one.is_command or self.asked.executor in (None, "serial"):
            return 1
        return _ALL if self.room is not None else max(1, default_workers() // self.threads)

    def train(
        self, one: Contender, claims: Sequence[RunClaim], on_end: Callable[[RunClaim, Ended], None], *, first: bool
    ) -> None:
        """Train runs of a program.

        Args:
            one: the program.
            claims: which runs.
            on_end: told how each ended, as it ends.
            first: whether the first of them is the very first of the session.

        Raises:
            LastbitError: no optimizer took a step, the very first run failed, or the cluster is lost.
        """
        jobs = [job_of(one, claim, first=first and not place) for place, claim in enumerate(claims)]
        claimed = {job.run: claim for job, claim in zip(jobs, claims, strict=True)}

        def on_event(event: Event) -> None:
            if isinstance(event, Progressed) and isinstance(event.state, str):
                self.tell(event.state)
            elif isinstance(event, Finished):
                if event.result.status is RunStatus.CRASHED:
                    interrupts.check()
                on_end(claimed[event.job.name], event.result)
            elif isinstance(event, Crashed) and event.final:
                on_end(claimed[event.job.name], Ended(status=RunStatus.CRASHED, message=event.message))

        with noticed() as interrupts:
            self._executor(one).run([Queued(name=job.run, payload=job) for job in jobs], on_event)

    def _executor(self, one: Contender) -> Executor:
        """Return what trains a program; a task that was built for it is kept."""
        key = one.key  # reads and hashes the files of the program
        if key not in self._executors:
            self._executors[key] = self._new(one)
        return self._executors[key]

    def _new(self, one: Contender) -> Executor:
        factory, folder, at_once = worker_factory(one, self.folder), self.folder.absolute(), self.at_once(one)
        if self.room is not None:
            luggage = luggage_of(factory, one.plan, folder, self.threads)
            return RayExecutor(luggage, self.room, home=home_of(folder), say=self.tell)
        if at_once == 1 and self.asked.executor != "processes":
            return SerialExecutor(factory, threads=self.threads)
        return ProcessExecutor(factory, workers=at_once, threads=self.threads, lasting=True)

    def close(self) -> None:
        """End what was started for the runs."""
        for executor in self._executors.values():
            executor.close()
