"""Trainings traced with their twins: spread over processes, each read into plain data as soon as it is finished."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lastbit.store import StudyFolder
from lastbit.studies.paper.lab import Lab
from lastbit.studies.trace.result import members_found
from lastbit.studies.trace.twins_found import TwinsFound

__all__ = ["Arrays", "Reader", "TracedSize", "Training", "floats", "trace_each"]

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


@dataclass(frozen=True, kw_only=True)
class TracedSize:
    """The trainings that a claim traces at a scale.

    Attributes:
        task: name of a built-in one.
        seeds: how many trainings, each with twins of its own.
        twins: perturbed runs of each, besides the base run and its exact repeat.
        steps: of each run, from which the time is foretold.
        measured: which measured step is as dear.
        dearer: what a step costs with its recording, in measured steps; recording counts for less where steps are dear.
        settings: of the task.
    """

    task: str
    seeds: int
    twins: int = 1
    steps: int
    measured: str
    dearer: float
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cost(self) -> Mapping[str, float]:
        """How many of the measured steps all runs take."""
        return {self.measured: self.seeds * (self.twins + 2) * self.steps * self.dearer}

    @property
    def trainings(self) -> Sequence[Training]:
        """What is traced, by seed."""
        known = {"twins": self.twins, **self.settings}
        return [
            Training(name=f"seed{seed}", task=self.task, settings={**known, "seed": seed}) for seed in range(self.seeds)
        ]


def trace_each(lab: Lab, trainings: Sequence[Training], read: Reader) -> list[Mapping[str, Any]]:
    """Return what is kept of each training, in order; those that are finished are not trained again."""
    alone = replace(lab, workers=1, quiet=lab.quiet or lab.workers > 1 or lab.room is not None, room=None)
    return lab.map(_Traced(alone, read), trainings)


@dataclass(frozen=True)
class _Traced:
    """Traces a training, and reads what is kept of it."""

    lab: Lab
    read: Reader

    def __call__(self, training: Training) -> Mapping[str, Any]:
        """Return what is kept."""
        study = self.lab.study("trace", training.name, training.task, **training.settings)
        with StudyFolder.read(study.path) as folder:
            ((found, arrays),) = members_found(folder)
        return self.read(found, arrays)

    def moved(self, folder: Path) -> _Traced:
        """Return the same for another machine, with studies in `folder`."""
        return replace(self, lab=replace(self.lab, folder=folder))


def floats(values: Iterable[float | str | None]) -> tuple[float, ...]:
    """Return numbers that went through JSON, where NaN is None and an infinity is text."""
    return tuple(math.nan if value is None else float(value) for value in values)
