"""One measurement of sharpness, kept on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from lastbit.core.errors import LastbitError
from lastbit.studies.eos.cells import edge_cells, edge_defaults
from lastbit.studies.eos.settings import EosSettings
from lastbit.studies.frame.kind import Cell, Job, Kind, Plan
from lastbit.studies.frame.make import make
from lastbit.studies.frame.program import Program
from lastbit.studies.sharpness.page import sharpness_page
from lastbit.studies.sharpness.result import RUN, SharpnessResult, SharpnessStudy, conclude
from lastbit.studies.sharpness.settings import SharpnessSettings
from lastbit.studies.sharpness.worker import rehearse, train
from lastbit.tasks import Task

__all__ = ["SHARPNESS", "sharpness"]


def _defaults(given: Mapping[str, Any]) -> Mapping[str, Any]:
    return edge_defaults({**given, "steps": max(given.get("after") or 1, 1)})


def _cells(settings: SharpnessSettings, program: Program) -> list[Cell]:
    found = edge_cells(EosSettings(seed=settings.seed), program)
    if len(found) > 1:
        raise LastbitError(f"one measurement takes one value of each setting, got {len(found)} combinations")
    return found


def _jobs(plan: Plan[SharpnessSettings]) -> list[Job]:
    return [Job(cell=plan.cells[0], run=RUN)]


def _steps(settings: SharpnessSettings, task: Task) -> int:
    return max(settings.after, 1)


def _announce(settings: SharpnessSettings, jobs: int, steps: int) -> str:
    return f"sharpness after {settings.after} steps"


SHARPNESS = Kind(
    name="sharpness",
    called="a measurement",
    counted="measurements",
    settings=SharpnessSettings,
    result=SharpnessResult,
    study=SharpnessStudy,
    defaults=_defaults,
    cells=_cells,
    jobs=_jobs,
    rehearse=rehearse,
    train=train,
    steps=_steps,
    announce=_announce,
    conclude=conclude,
    page=sharpness_page,
)
"""The kind of study that `lastbit sharpness` makes."""


def sharpness(
    task: str | Task | None = None,
    *,
    after: int | None = None,
    checkpoint: str | Path | None = None,
    by: Literal["module", "tensor", "group"] | None = None,
    probe_size: int | None = None,
    seed: int | None = None,
    dtype: Literal["float32", "float64"] | None = None,
    device: str | None = None,
    model: str | None = None,
    depth: int | None = None,
    width: int | None = None,
    kernel: int | None = None,
    activation: str | None = None,
    loss: str | None = None,
    optimizer: str | None = None,
    lr: float | None = None,
    momentum: float | None = None,
    nesterov: bool | None = None,
    weight_decay: float | None = None,
    batch_size: int | None = None,
    train_size: int | None = None,
    data_root: str | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    threads: int | None = None,
    quiet: bool = False,
) -> SharpnessStudy:
    """Measure the sharpness of a task's network now, against the limit of its optimizer.

    What is None takes its default: see `SharpnessSettings` for the measurement and `TaskConfig` for the task.

    Args:
        task: name of a built-in task (`"digits"`), `"FILE.py:FUNCTION"`, or a `Task`.
        after: training steps to take before measuring. Adam and its like need one: their preconditioner is not
            defined before.
        checkpoint: weights to load first; with the optimizer's state where the file holds it.
        by: what the rows of the table are.
        probe_size: training examples that curvature is measured on.
        seed: of the training.
        dtype: format of the weights.
        device: where to measure.
        model: network, as the settings after it one of the task's: see `lastbit.tasks.TaskConfig`.
        depth: see there.
        width: see there.
        kernel: see there.
        activation: see there.
        loss: see there.
        optimizer: see there.
        lr: see there.
        momentum: see there.
        nesterov: see there.
        weight_decay: see there.
        batch_size: see there; all examples by default.
        train_size: see there.
        data_root: see there.
        out: folder to keep the measurement in; by default the next free `lastbit-studies/sharpness-TASK-NNN`.
        resume: folder of a measurement that was interrupted, in place of `out`.
        threads: for one operation, which decide the order of sums; None measures, and takes one for small networks.
        quiet: show no progress.

    Raises:
        LastbitError: a setting, the task, the checkpoint or the folder is invalid, or nothing can be measured.

    Example:
        >>> found = sharpness("digits", after=100)  # doctest: +SKIP
        >>> found.result.whole.max_lr  # doctest: +SKIP
        0.16
    """
    asked: dict[str, Any] = locals()
    return cast(SharpnessStudy, make(SHARPNESS, **asked, workers=1))
