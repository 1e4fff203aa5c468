"""One measurement of sharpness, kept on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from lastbit.core.errors import LastbitError
from lastbit.core.keywords import takes
from lastbit.report.formatting import plural
from lastbit.studies.eos.cells import edge_cells, edge_defaults
from lastbit.studies.eos.settings import EosSettings
from lastbit.studies.frame.kind import Cell, Job, Kind, Plan
from lastbit.studies.frame.make import make
from lastbit.studies.frame.program import Program
from lastbit.studies.frame.settings import study_keywords
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


def _announce(plan: Plan[SharpnessSettings], jobs: int, steps: int) -> str:
    return f"sharpness after {plural(plan.settings.after, 'step')}"


SHARPNESS = Kind(
    name="sharpness",
    called="a measurement",
    counted="measurement",
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


@takes(study_keywords(SharpnessSettings))
def sharpness(task: str | Task | None = None, *, quiet: bool = False, **settings: Any) -> SharpnessStudy:
    """Measure the sharpness of a task's network now, against the limit of its optimizer.

    Args:
        task: name of a built-in task (`"digits"`), `"FILE.py:FUNCTION"`, or a `Task`.
        **settings: of the study and of its task.
        quiet: show no progress.

    Raises:
        LastbitError: a setting, the task, the checkpoint or the folder is invalid, or nothing can be measured.

    Example:
        >>> from lastbit import sharpness
        >>> found = sharpness("digits", after=100)  # doctest: +SKIP
        >>> found.result.whole.max_lr  # doctest: +SKIP
        0.16
    """
    return cast(SharpnessStudy, make(SHARPNESS, task, quiet=quiet, **settings))
