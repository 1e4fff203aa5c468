"""What the audit's figures are drawn from: the runs, and what their arrays give, in few numbers each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lastbit.core.errors import LastbitError
from lastbit.core.status import Role, RunStatus
from lastbit.report.bins import rms_bins
from lastbit.report.figures.curves import Curve, EvenCurve
from lastbit.report.figures.weights import WeightDistance
from lastbit.stats import mean_relative_l1
from lastbit.store import RunRecord, StudyFolder

__all__ = ["MAX_LINES", "POINTS", "Gaps", "curves", "read_gaps", "spread_within_seeds"]

Array = np.ndarray[Any, Any]

POINTS = 2000
"""The most points of a line over steps."""

MAX_LINES = 200
"""The most lines of a figure: beyond, a browser takes seconds to draw it and a reader sees a band."""

_ALL_POINTS = 90_000
"""The most points of all lines of a figure together, half a megabyte in the file."""


@dataclass
class Gaps:
    """What the arrays of the runs tell of the distance between runs."""

    losses: list[EvenCurve] = field(default_factory=list)
    """The gap between the training losses of a twin and its base at each step; last, where known, between seeds."""
    weights: list[WeightDistance] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """The runs whose arrays are missing or damaged."""
    left_out: int = 0
    """The number of twins beyond `MAX_LINES`."""


def read_gaps(folder: StudyFolder, records: Sequence[RunRecord]) -> Gaps:
    """Read the arrays of the runs one after another; only the seeds' bases are kept in memory.

    Args:
        folder: the study.
        records: its runs; repeats and crashed runs are passed over.
    """
    gaps = Gaps()
    rows = [r for r in records if r.role != Role.REPEAT and r.status != RunStatus.CRASHED]
    bases: dict[int, tuple[RunRecord, dict[str, Array]]] = {}
    for record in rows:
        if record.role == Role.BASE and (arrays := _arrays(folder, record, gaps)) is not None:
            bases[record.cell] = record, arrays
    twins = [r for r in rows if r.role == Role.TWIN and r.cell in bases]
    gaps.left_out = max(0, len(twins) - MAX_LINES)
    twins = twins[:MAX_LINES]
    points = max(50, min(POINTS, _ALL_POINTS // max(1, len(twins))))
    for record in twins:
        arrays = _arrays(folder, record, gaps)
        if arrays is None:
            continue
        base = bases[record.cell][1]
        if "losses" in base and "losses" in arrays:
            shared = min(len(base["losses"]), len(arrays["losses"]))
            with np.errstate(invalid="ignore"):
                difference = arrays["losses"][:shared] - base["losses"][:shared]
            gaps.losses.append(_even(difference, points, record.cell, f"{record.run}, {record.label}"))
        _add_distance(gaps, record, arrays, base, f"{record.run}, {record.label}", between_seeds=False)
    # Each base against the next seed's, in a ring: enough to show the level, without every pair.
    ring = list(bases.values())
    for (record, arrays), (other, against) in zip(ring, ring[1:] + ring[:1], strict=True):
        if other is not record:
            _add_distance(gaps, record, arrays, against, f"{record.run} to {other.run}", between_seeds=True)
    gaps.losses += _between_seeds([arrays["losses"] for _, arrays in bases.values() if "losses" in arrays], points)
    return gaps


def _arrays(folder: StudyFolder, record: RunRecord, gaps: Gaps) -> dict[str, Array] | None:
    try:
        arrays = folder.arrays(record.run)
    except (LastbitError, OSError):
        arrays = {}
    if arrays:
        return arrays
    gaps.unreadable.append(record.run)
    return None


def _even(difference: Array, points: int, seed: int | None, label: str) -> EvenCurve:
    values, width = rms_bins(difference, points)
    return EvenCurve(seed=seed, label=label, first=(1 + width) / 2, width=width, values=values)


def _between_seeds(losses: Sequence[Array], points: int) -> list[EvenCurve]:
    """Return the root mean square gap between the losses of two seeds, sqrt(2) times their SD at each step."""
    if len(losses) < 2:
        return []
    shared = min(len(row) for row in losses)
    table_SN = np.stack([row[:shared] for row in losses])
    with np.errstate(invalid="ignore"):
        gap = math.sqrt(2) * table_SN.std(axis=0, ddof=1)
    return [_even(gap, points, None, "between seeds (root mean square)")]


def _add_distance(
    gaps: Gaps,
    record: RunRecord,
    arrays: Mapping[str, Array],
    against: Mapping[str, Array],
    label: str,
    *,
    between_seeds: bool,
) -> None:
    if "weights_final" not in arrays or "weights_final" not in against:
        return
    try:
        value = mean_relative_l1(arrays["weights_final"], against["weights_final"])
    except LastbitError:
        return  # A diverged run has weights that are not finite: there is no distance to show.
    gaps.weights.append(WeightDistance(seed=record.cell, label=label, value=value, between_seeds=between_seeds))


def curves(records: Sequence[RunRecord], metric: str) -> list[Curve]:
    """Return a metric of the runs over optimizer steps, repeats left out, at most `MAX_LINES` runs."""
    return [
        Curve(
            seed=r.cell,
            label=f"{r.run}, {r.label}",
            steps=np.asarray(r.steps),
            values=np.asarray(r.metrics[metric], dtype=float),
        )
        for r in records
        if r.role != Role.REPEAT and r.metrics.get(metric)
    ][:MAX_LINES]


def spread_within_seeds(records: Sequence[RunRecord], metric: str) -> list[Curve]:
    """Return, for each seed with two runs or more, the SD of a metric over its perturbations at each epoch's end.

    Runs that did not end well are left out, for the SD to be over the same runs all along.
    """
    found = []
    for seed in sorted({r.cell for r in records}):
        rows = [
            r
            for r in records
            if r.cell == seed and r.role != Role.REPEAT and r.status == RunStatus.OK and r.metrics.get(metric)
        ]
        if len(rows) < 2 or len({len(r.steps) for r in rows}) > 1:
            continue
        values_PE = np.array([r.metrics[metric] for r in rows], dtype=float)
        label = f"seed {seed}: SD over {len(rows)} perturbations"
        found.append(
            Curve(seed=seed, label=label, steps=np.asarray(rows[0].steps), values=values_PE.std(axis=0, ddof=1))
        )
    return found
