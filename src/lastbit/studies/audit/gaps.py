"""What the audit's figures are drawn from: the runs, and what their arrays give, in few numbers each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lastbit.core.errors import LastbitError
from lastbit.core.status import Role, RunStatus
from lastbit.report.figures.lines import Line
from lastbit.report.figures.strips import WeightDistance
from lastbit.report.figures.style import NEUTRAL
from lastbit.report.formatting import plural
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.audit.distances import Distances

__all__ = ["MAX_LINES", "POINTS", "Gaps", "curves", "read_gaps", "rms_bins", "spread_within_seeds"]

Colours = Mapping[int, str]
"""The colour of each seed."""

POINTS = 2000
"""The most points of a line over steps."""

MAX_LINES = 200
"""The most lines of a figure: beyond, a browser takes seconds to draw it and a reader sees a band."""

_ALL_POINTS = 90_000
"""The most points of all lines of a figure together, half a megabyte in the file."""


@dataclass
class Gaps:
    """What the arrays of the runs tell of the distance between runs."""

    twins: list[Line] = field(default_factory=list)
    """The gap between the training losses of a twin and its base at each step."""
    between: list[Line] = field(default_factory=list)
    """The root mean square of that gap between two seeds, one line where there are several."""
    weights: list[WeightDistance] = field(default_factory=list)
    sketched: bool = False
    """Whether the distances of weights are estimated from sketches."""
    left_out: int = 0
    """The number of twins beyond `MAX_LINES`."""


def read_gaps(folder: StudyFolder, records: Sequence[RunRecord], colours: Colours) -> Gaps:
    """Read the arrays of the runs one after another; only the seeds' bases are kept in memory.

    Args:
        folder: the study.
        records: its runs; repeats and crashed runs are passed over.
        colours: of the seeds.
    """
    gaps, distances = Gaps(), Distances(folder)
    rows = [r for r in records if r.role != Role.REPEAT and r.status != RunStatus.CRASHED]
    bases = {
        r.cell: (r, found)
        for r in rows
        if r.role == Role.BASE and (found := distances.noted(r.run, folder.arrays(r.run)))
    }
    twins = [r for r in rows if r.role == Role.TWIN and r.cell in bases]
    gaps.left_out = max(0, len(twins) - MAX_LINES)
    points = max(50, min(POINTS, _ALL_POINTS // max(1, min(len(twins), MAX_LINES))))
    for record in twins[:MAX_LINES]:
        arrays, (_, base) = distances.noted(record.run, folder.arrays(record.run)), bases[record.cell]
        if "losses" in base and "losses" in arrays:
            shared = min(len(base["losses"]), len(arrays["losses"]))
            with np.errstate(invalid="ignore"):
                difference = arrays["losses"][:shared] - base["losses"][:shared]
            gaps.twins.append(Line(**_of(record, colours), **_even(difference, points)))
    ring = list(bases.values())
    gaps.weights = _distances(distances, twins[:MAX_LINES], [record for record, _ in ring])
    gaps.sketched = not distances.exact
    losses = [arrays["losses"] for _, arrays in ring if "losses" in arrays]
    if len(losses) > 1:
        shared = min(len(row) for row in losses)
        # The root mean square gap between two is sqrt(2) times the SD.
        gap = math.sqrt(2) * _sd([row[:shared] for row in losses])
        label = "between seeds (root mean square)"
        gaps.between = [Line(label=label, group="between seeds", colour=NEUTRAL, **_even(gap, points))]
    return gaps


def _of(record: RunRecord, colours: Colours) -> dict[str, Any]:
    seed = record.cell
    return {"label": f"{record.run}, {record.label}", "group": f"seed {seed}", "colour": colours[seed]}


def _even(difference: np.ndarray, points: int) -> dict[str, Any]:
    values, width = rms_bins(difference, points)
    return {"x0": (1 + width) / 2, "dx": width, "y": values}


def _distances(distances: Distances, twins: Sequence[RunRecord], bases: Sequence[RunRecord]) -> list[WeightDistance]:
    """Return how far twins are from their bases and seeds from each other; without those of runs that diverged."""
    if not (distances.exact or distances.sketched):
        return []
    base_of = {record.cell: record for record in bases}
    pairs = [(twin, base_of[twin.cell], f"{twin.run}, {twin.label}", False) for twin in twins]
    # Each base against the next seed's, in a ring: enough to show the level, without every pair.
    ring = zip(bases, [*bases[1:], *bases[:1]], strict=True)
    pairs += [(one, other, f"{one.run} to {other.run}", True) for one, other in ring if other is not one]
    found = []
    for one, other, label, between_seeds in pairs:
        with suppress(LastbitError):  # weights that are not finite
            value = distances.between(one.run, other.run)
            found.append(WeightDistance(seed=one.cell, label=label, value=value, between_seeds=between_seeds))
    return found


def curves(records: Sequence[RunRecord], metric: str, colours: Colours) -> list[Line]:
    """Return a metric of the runs over optimizer steps, repeats left out, at most `MAX_LINES` runs."""
    rows = [r for r in records if r.role != Role.REPEAT and r.metrics.get(metric)][:MAX_LINES]
    return [Line(**_of(r, colours), x=np.asarray(r.steps), y=np.asarray(r.metrics[metric], dtype=float)) for r in rows]


def spread_within_seeds(records: Sequence[RunRecord], metric: str, colours: Colours) -> list[Line]:
    """Return, for each seed with two runs or more, the SD of a metric over its perturbations at each epoch's end.

    Runs that did not end well are left out, for the SD to be over the same runs all along.
    """
    found = []
    used = [r for r in records if r.role != Role.REPEAT and r.status == RunStatus.OK and r.metrics.get(metric)]
    for seed in sorted({r.cell for r in used}):
        rows = [r for r in used if r.cell == seed]
        if len(rows) > 1 and len({len(r.steps) for r in rows}) == 1:
            spread = _sd([np.array(r.metrics[metric], dtype=float) for r in rows])
            label = f"seed {seed}: SD over {plural(len(rows), 'perturbation')}"
            found.append(Line(**_of(rows[0], colours) | {"label": label}, x=np.asarray(rows[0].steps), y=spread))
    return found


def _sd(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Return the SD over rows at each place, of numbers of any size; NaN where one is not finite."""
    table = np.stack(rows)
    # Squares of large numbers would overflow; dividing by a power of two changes no digit.
    largest = float(np.abs(table).max(initial=0.0, where=np.isfinite(table)))
    scale = 2.0 ** min(max(math.frexp(largest)[1], -1000), 1000)
    with np.errstate(invalid="ignore"):
        return np.asarray(scale * (table / scale).std(axis=0, ddof=1))


def rms_bins(values: np.ndarray, points: int) -> tuple[np.ndarray, int]:
    """Return the root mean square over equal bins, at most `points` of them, and the width of a bin.

    Where the series is short enough it comes back as its absolute values, bin width 1. NaNs are left out of a bin; a
    bin of NaNs is NaN. The last bin may hold fewer values.

    Args:
        values: (N,) a series.
        points: the most bins to make, at least 1.

    Example:
        >>> rms_bins(np.array([3.0, -4.0, 6.0]), 2)
        (array([3.53553391, 6.        ]), 2)
    """
    if not len(values):
        return np.empty(0), 1
    width = -(-len(values) // points)
    if width == 1:
        return np.abs(values), 1
    padded = np.full(-(-len(values) // width) * width, np.nan)
    padded[: len(values)] = values
    bins_BW = padded.reshape(-1, width)
    filled = ~np.isnan(bins_BW)
    count = filled.sum(axis=1)
    # Scaled by the largest value first: squares of small differences would underflow, of large ones overflow.
    scale = np.where(filled, np.abs(bins_BW), 0.0).max(axis=1)
    safe = np.where((scale > 0) & np.isfinite(scale), scale, 1.0)
    ratio = np.where(filled, bins_BW / safe[:, None], 0.0)
    with np.errstate(invalid="ignore", over="ignore"):
        root = safe * np.sqrt((ratio**2).sum(axis=1) / np.maximum(count, 1))
    root[~np.isfinite(scale)] = np.inf
    root[count == 0] = np.nan
    return root, width
