"""Final values of a metric by seed and perturbation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lastbit import stats
from lastbit.report.formatting import plural
from lastbit.stats import Estimate
from lastbit.store import RunRecord

__all__ = ["finite_runs", "largest", "mean_of", "table_of"]


def finite_runs(records: Sequence[RunRecord], name: str) -> tuple[list[RunRecord], str]:
    """Return the runs whose final value of a metric is finite, and which are not, in words."""
    finite = [record for record in records if math.isfinite(record.final.get(name, math.nan))]
    others = [record.run for record in records if record not in finite]
    named = ", ".join(others[:8]) + (" …" if len(others) > 8 else "")
    what = name.replace("_", " ")
    return finite, f"{what} is not finite in {plural(len(others), 'run')}, left out here: {named}" if others else ""


def table_of(records: Sequence[RunRecord], name: str) -> np.ndarray:
    """Return the final values of a metric by seed and perturbation, NaN where there is no run."""
    seeds = sorted({r.cell for r in records})
    columns = max(r.twin for r in records) + 1
    table_SP = np.full((len(seeds), columns), np.nan)
    for record in records:
        table_SP[seeds.index(record.cell), record.twin] = record.final[name]
    # A column that no run fills would make a whole grid look ragged.
    return table_SP[:, ~np.isnan(table_SP).all(axis=0)]


def largest(table: np.ndarray, unit: str) -> float:
    """Return the largest value that a metric can have: 100 of a percentage, whose values lie between 0 and that."""
    return 100.0 if unit == "%" and np.nanmin(table) >= 0 and np.nanmax(table) <= 100 else math.inf


def mean_of(records: Sequence[RunRecord], name: str) -> Estimate:
    """Return the mean of the final values of a metric, its interval over seeds."""
    return stats.mean_estimate([r.final[name] for r in records], seeds=[r.cell for r in records])
