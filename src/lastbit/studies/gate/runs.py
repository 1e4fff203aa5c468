"""One run of a session: a program trained once with one seed, as a value and a digest of its bits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.core.threads import threads as torch_threads
from lastbit.store import RunClaim, RunFiles, RunRecord
from lastbit.studies.audit.worker import train
from lastbit.studies.frame.digest import digest_of
from lastbit.studies.frame.kind import Cell, Job, Work
from lastbit.studies.frame.launched import NoMetric, NoStep
from lastbit.studies.frame.stored_weights import is_former
from lastbit.studies.gate.contender import Contender
from lastbit.train.jobs import one_line

__all__ = ["Ended", "ended_of", "output_of", "train_once"]


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


def train_once(one: Contender, claim: RunClaim, folder: Path, *, threads: int, first: bool) -> Ended:
    """Train a program once.

    Args:
        one: the program.
        claim: which run, with which seed.
        folder: of the session; takes what the run prints.
        threads: of one operation.
        first: whether it is the very first run of the session: where that fails, no other would do better.

    Raises:
        LastbitError: no optimizer took a step, or it is the first and failed.
    """
    name = _name(claim.run)
    cell = Cell(number=0, name=name, label=f"seed {claim.seed}", seed=claim.seed, begins=0 if first else -1)
    files = RunFiles(folder, name)
    for path in (files.arrays_path, files.checkpoint_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    plan = one.plan
    work = Work(
        job=Job(cell=cell, run=name),
        task=one.task,
        program=plan.program,
        programs=plan.programs,
        settings=plan.settings.model_copy(update={"keep_weights": "none"}),
        device=plan.device,
        files=lambda _: files,
        output=lambda _: output_of(folder, claim.run),
        progress=lambda _: None,
        say=lambda _: None,
        checkpoint_seconds=20.0,
    )
    try:
        with torch_threads(threads):
            record = train(work).records[0]
        ended = ended_of(record, one.measure.metric, files.load_arrays())
    except LastbitError:
        raise
    except NoStep:
        raise LastbitError(
            f"{one.text} made no optimizer step: what a candidate trains must be updated by a torch.optim.Optimizer "
            f"(what it printed: {output_of(folder, claim.run)})"
        ) from None
    except NoMetric as error:
        # What reads its own metric instead is advice for a program alone: a session has one metric.
        said = one_line(error).partition(": write ")[0]
        ended = Ended(status=RunStatus.CRASHED, message=f"{said}; the session is about {one.measure.metric}")
    except (Exception, SystemExit) as error:
        ended = Ended(status=RunStatus.CRASHED, message=one_line(error).removeprefix(f"{one.name} "))
    # The ledger keeps the value and the digest, and what was printed stays; a run that is interrupted goes on later.
    files.arrays_path.unlink(missing_ok=True)
    files.drop_checkpoint()
    return ended


def _name(run: int) -> str:
    return f"run{run:05d}"


def output_of(folder: Path, run: int) -> Path:
    """Return where what a command printed in a run of the ledger is kept."""
    return folder / "output" / _name(run)


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
