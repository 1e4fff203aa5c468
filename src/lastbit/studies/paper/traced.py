"""Trainings traced with their twins: spread over processes, each read into plain data as soon as it is finished."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from lastbit.store import StudyFolder
from lastbit.studies.paper.lab import Lab
from lastbit.studies.trace.result import members_found
from lastbit.studies.trace.twins_found import TwinsFound

__all__ = ["Arrays", "Reader", "Training", "floats", "trace_each"]

Arrays = Mapping[str, np.ndarray]

Reader = Callable[[TwinsFound, Arrays], Mapping[str, Any]]
"""What a claim keeps of one training; a function of a module, for it goes to another process."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training to trace.

    Attributes:
        name: of its folder.
        task: name of a built-in task.
        settings: of the trace and of the task; every sweep has one value.
    """

    name: str
    task: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def trace_each(lab: Lab, trainings: Sequence[Training], read: Reader) -> list[Mapping[str, Any]]:
    """Return what is kept of each training, in order; those that are finished are not trained again."""
    alone = replace(lab, workers=1, quiet=lab.quiet or lab.workers > 1)
    return lab.map(partial(_traced, alone, read), trainings)


def _traced(lab: Lab, read: Reader, training: Training) -> Mapping[str, Any]:
    study = lab.study("trace", training.name, training.task, **training.settings)
    with StudyFolder.read(study.path) as folder:
        ((found, arrays),) = members_found(folder)
    return read(found, arrays)


def floats(values: Iterable[float | str | None]) -> tuple[float, ...]:
    """Return numbers that went through JSON, where NaN is None and an infinity is text."""
    return tuple(math.nan if value is None else float(value) for value in values)
