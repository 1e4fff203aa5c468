"""An examination in this process, without a study on disk: of what cannot travel to another process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lastbit.launch.pair.here import call_twice
from lastbit.studies.doctor.compare import holds_under, outcome_of
from lastbit.studies.doctor.diagnose import diagnose
from lastbit.studies.doctor.findings import Outcome, PrintedDifference
from lastbit.studies.doctor.kind import DOCTOR
from lastbit.studies.frame.kind import DTYPES
from lastbit.studies.frame.own_process import train_once
from lastbit.studies.frame.planning import plan_of
from lastbit.tasks import Task

__all__ = ["examined_here"]


def examined_here(
    task: str | Task | Callable[[int], Any], folder: Path, settings: Mapping[str, Any]
) -> tuple[str, Outcome]:
    """Train twice in this process, one run after the other, and return the name of the program and what came of it.

    Args:
        task: a function, a `Task`, or the name of one.
        folder: takes the records of both runs.
        settings: of an examination and of its task.

    Raises:
        LastbitError: a setting is invalid, or no optimizer took a step.
        Exception: whatever the training raises.
    """
    plan = plan_of(DOCTOR, task, settings)
    (cell,) = plan.cells
    dtype = DTYPES[plan.settings.dtype]
    once = partial(train_once, plan.program, dict(cell.program), plan.settings.seed, dtype, plan.device)
    name = plan.program.name
    called = call_twice(once, name=name, folder=folder)
    outcome = outcome_of("in this process", called.pair, diagnose(called.pair), settings=holds_under(called.records))
    first, second = called.returned
    if first != second:
        told = PrintedDifference(what="returned", line=1, first=first, second=second, lines=1)
        outcome = replace(outcome, printed=(told,))
    return name, outcome
