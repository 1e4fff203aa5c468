"""The runs of a session: a program trained once with one seed, as a value and a digest of its bits."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.store import RunClaim, RunFiles, RunRecord
from lastbit.studies.compare.kind import COMPARE
from lastbit.studies.frame.digest import digest_of
from lastbit.studies.frame.fingerprint import fingerprint
from lastbit.studies.frame.kind import Job
from lastbit.studies.frame.launched import NoMetric, NoStep
from lastbit.studies.frame.runner import JobWorkerFactory
from lastbit.studies.frame.stored_weights import is_former
from lastbit.studies.gate.contender import Contender
from lastbit.train.jobs import one_line

__all__ = ["Ended", "RunWorkerFactory", "ended_of", "job_of", "worker_factory"]

_CHECKPOINT_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run ended.

    Attributes:
        status: how.
        value: the metric; None where there is none.
        digest: of its bits; equal for equal trainings alone. None where it ended early.
        message: why it ended early.
        seconds: how long it took.
    """

    status: RunStatus
    value: float | None = None
    digest: str | None = None
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RunWorkerFactory:
    """Makes the worker of one process, for the runs of one program.

    Attributes:
        jobs: makes what trains.
        text: the program, as it is typed.
        name: of its script, task or function.
        metric: its name; "" for the first.
    """

    jobs: JobWorkerFactory
    text: str
    name: str
    metric: str

    def __call__(self) -> _RunWorker:
        """Make the worker."""
        return _RunWorker(self)

    def moved(self, folder: Path, root: Path | None) -> RunWorkerFactory:
        """Return the same for another machine, with files in `folder`, and the user's under `root`."""
        return replace(self, jobs=self.jobs.moved(folder, root))


def worker_factory(one: Contender, folder: Path) -> RunWorkerFactory:
    """Return what makes the workers of a program.

    Args:
        one: the program.
        folder: of the session; takes what runs print.
    """
    settings = one.plan.settings.model_copy(update={"keep_weights": "none"})
    plan = replace(one.plan, settings=settings)
    jobs = JobWorkerFactory(
        kind=COMPARE,
        plan=plan,
        sample=plan.cells[0],
        folder=folder.absolute(),
        checkpoint_seconds=_CHECKPOINT_SECONDS,
        fingerprints={plan.cells[0].sets: fingerprint(one.task)},
        home=os.getpid(),
    )
    return RunWorkerFactory(jobs=jobs, text=one.text, name=one.name, metric=one.measure.metric)


def job_of(one: Contender, claim: RunClaim, *, first: bool) -> Job:
    """Return a run as what a worker does.

    Args:
        one: the program.
        claim: which run, with which seed.
        first: whether it is one of the first runs of the session: where those fail, no other would do better.
    """
    name = f"run{claim.run:05d}"
    begins = 0 if first else -1
    cell = replace(one.plan.cells[0], name=name, label=f"seed {claim.seed}", seed=claim.seed, begins=begins)
    return Job(cell=cell, run=name)


class _RunWorker:
    """Trains runs of one program, one after another."""

    def __init__(self, order: RunWorkerFactory) -> None:
        self._order = order
        self._worker = order.jobs()

    def run(self, job: Job, progress: Callable[[int | str], None]) -> Ended:
        """Train once.

        Raises:
            LastbitError: no optimizer took a step, or it is a first run and failed.
        """
        folder = self._order.jobs.folder
        files = RunFiles(folder, job.run)
        for path in (files.arrays_path, files.checkpoint_path):
            path.parent.mkdir(parents=True, exist_ok=True)
        ended = self._ended(job, files, progress)
        # The ledger keeps the value and the digest, and what was printed stays; an interrupted run goes on later.
        files.arrays_path.unlink(missing_ok=True)
        files.drop_checkpoint()
        return ended

    def _ended(self, job: Job, files: RunFiles, progress: Callable[[int | str], None]) -> Ended:
        order = self._order
        try:
            record = self._worker.run(job, progress).records[0]
            return ended_of(record, order.metric, files.load_arrays())
        except LastbitError:
            raise
        except NoStep:
            printed = order.jobs.folder / "output" / job.run
            raise LastbitError(
                f"{order.text} made no optimizer step: what a candidate trains must be updated by a "
                f"torch.optim.Optimizer (what it printed: {printed})"
            ) from None
        except NoMetric as error:
            # What reads its own metric instead is advice for a program alone: a session has one metric.
            said = one_line(error).partition(": write ")[0]
            return Ended(status=RunStatus.CRASHED, message=f"{said}; the session is about {order.metric}")
        except (Exception, SystemExit) as error:
            return Ended(status=RunStatus.CRASHED, message=one_line(error).removeprefix(f"{order.name} "))

    def step_seconds(self) -> float:
        """Measure one step of its training."""
        return self._worker.step_seconds()


def ended_of(record: RunRecord, metric: str, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Ended:
    """Return how a run ended, by its record and arrays.

    Args:
        record: of the run.
        metric: its name; "" for the first.
        arrays: of the run.
    """
    final = record.final
    if metric and metric not in final:
        said = f"it reported no {metric}, but {', '.join(final)}"
        return Ended(status=RunStatus.CRASHED, message=said, seconds=record.seconds)
    value = final[metric or next(iter(final))]
    if record.status == RunStatus.DIVERGED or not math.isfinite(value):
        message = record.message or "its result is not finite"
        return Ended(status=RunStatus.DIVERGED, message=message, seconds=record.seconds)
    # What a former lastbit kept of its weights has no digest to be held against.
    digest = None if is_former(arrays) else digest_of(arrays, value)
    return Ended(status=record.status, value=value, digest=digest, message=record.message, seconds=record.seconds)
