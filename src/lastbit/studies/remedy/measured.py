"""What the runs of each arm measured, by seed and perturbation, as far as two arms can be held against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from lastbit.core.errors import LastbitError
from lastbit.core.status import Role, RunStatus
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.audit.distances import Distances
from lastbit.studies.audit.metrics import metrics_of

__all__ = ["LOSS", "ArmGrid", "add_arrays", "grids_of", "metric_of"]

LOSS = "test_loss"
"""Name of the test loss among the metrics of a run."""

Floats = np.ndarray[Any, np.dtype[np.float64]]

_NONE: Floats = np.empty(0)


@dataclass(kw_only=True)
class ArmGrid:
    """The runs of one arm in the exploration or in the confirmation; NaN where nothing is known.

    Legend: S seeds, P perturbations.
    """

    metric_SP: Floats
    loss_SP: Floats
    seconds_SP: Floats
    runs: list[RunRecord]
    """Those that count."""
    lost: tuple[str, ...]
    """Those that ended without a finite result."""
    churn_S: Floats = field(default_factory=lambda: _NONE)
    distance_S: Floats = field(default_factory=lambda: _NONE)
    measure: str = ""
    """How the distances were measured."""

    @property
    def whole_S(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which seeds have two runs or more."""
        counts: np.ndarray[Any, Any] = np.count_nonzero(np.isfinite(self.metric_SP), axis=1)
        return np.asarray(counts > 1)


def metric_of(facts: Mapping[str, Any], arm: int) -> Mapping[str, Any]:
    """Return name, unit and `higher_is_better` of what an arm is judged by."""
    task = facts["tasks"][arm] if "tasks" in facts else facts["task"]
    return metrics_of({"task": task, "cells": [one for one in facts["cells"] if one.get("arm", 0) == arm]})[0]


def grids_of(
    folder: StudyFolder, records: Sequence[RunRecord], arms: int, seeds: range, perturbations: int
) -> list[ArmGrid]:
    """Return what the runs of each arm gave with these seeds, repeats left out."""
    cells, names = folder.facts["cells"], [metric_of(folder.facts, arm)["name"] for arm in range(arms)]
    shape = (len(seeds), perturbations)
    found = [
        ArmGrid(
            metric_SP=np.full(shape, np.nan),
            loss_SP=np.full(shape, np.nan),
            seconds_SP=np.full(shape, np.nan),
            runs=[],
            lost=(),
        )
        for _ in range(arms)
    ]
    for record in records:
        cell = cells[record.cell]
        if record.role == Role.REPEAT or cell["seed"] not in seeds:
            continue
        arm = cell.get("arm", 0)
        grid, at = found[arm], (seeds.index(cell["seed"]), record.twin)
        value = record.final.get(names[arm], np.nan)
        if record.status != RunStatus.OK or not np.isfinite(value):
            grid.lost = (*grid.lost, record.run)
            continue
        grid.runs.append(record)
        grid.metric_SP[at], grid.loss_SP[at] = value, record.final.get(LOSS, np.nan)
        grid.seconds_SP[at] = record.seconds
    return found


def add_arrays(folder: StudyFolder, grid: ArmGrid, seeds: range) -> None:
    """Add churn and weight distance of each seed of an arm, NaN where they are not measured."""
    grid.churn_S, grid.distance_S = np.full(len(seeds), np.nan), np.full(len(seeds), np.nan)
    distances, by_seed = Distances(folder), {place: [] for place in range(len(seeds))}  # type: ignore[var-annotated]
    predictions = {}
    for record in grid.runs:
        arrays = distances.noted(record.run, folder.arrays(record.run))
        by_seed[seeds.index(folder.facts["cells"][record.cell]["seed"])].append(record)
        if "predictions" in arrays:
            predictions[record.run] = arrays["predictions"]
    grid.measure = "exact" if distances.exact else "sketched" if distances.sketched else ""
    for place, runs in by_seed.items():
        pairs = [(one.run, two.run) for one, two in combinations(runs, 2)]
        if pairs and all(one.run in predictions for one in runs):
            grid.churn_S[place] = np.mean([np.mean(predictions[one] != predictions[two]) for one, two in pairs])
        base = next((one for one in runs if one.role == Role.BASE), None)
        twins = [one for one in runs if one.role == Role.TWIN]
        if base is not None and twins and grid.measure:
            grid.distance_S[place] = np.mean([_between(distances, base.run, twin.run) for twin in twins])


def _between(distances: Distances, one: str, two: str) -> float:
    try:
        return distances.between(one, two)
    except LastbitError:  # a weight that is not finite
        return np.nan
