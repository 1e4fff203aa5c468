"""A grid of runs by seed, and the intervals of its variances by normal theory or by bootstrap.

`variance_components` documents the estimators and the reasons for each interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from lastbit.core.errors import LastbitError
from lastbit.stats._inputs import Floats, Ints
from lastbit.stats.mean_squares import difference_interval, sum_interval, variance_interval, within_share_interval
from lastbit.stats.one_way import OneWay, one_way
from lastbit.stats.resampling import bootstrap_interval

__all__ = ["Ends", "Grid", "bootstrap_ends", "exact_ends", "last_bit_share", "summarise"]

Ends = dict[str, tuple[float, float]]
"""Intervals by the name of what they hold: `"last_bit"`, `"seed"`, `"total"` (variances), `"share"`."""


@dataclass(frozen=True)
class Grid:
    """The runs of each seed that has any: counts, means and sums of squares about them, and the layout they make."""

    counts: Ints
    means: Floats
    squares: Floats
    layout: OneWay

    @property
    def seeds(self) -> int:
        """How many seeds have a run, S."""
        return len(self.counts)

    @property
    def runs(self) -> int:
        """How many runs are not missing, N."""
        return int(self.counts.sum())

    @property
    def balanced(self) -> bool:
        """Whether every seed has as many runs."""
        return bool((self.counts == self.counts[0]).all())

    @property
    def within_df(self) -> int:
        """Degrees of freedom within seeds, N - S."""
        return self.runs - self.seeds


def summarise(values: Floats) -> Grid:
    """Return the grid of (S, P) `values`, NaN where a run is missing; seeds without a run are left out.

    Raises:
        LastbitError: every run is missing.
    """
    present = ~np.isnan(values)
    values, present = values[present.any(axis=1)], present[present.any(axis=1)]
    if not len(values):
        raise LastbitError("every run of the grid is missing (NaN): there is nothing to estimate")
    counts: Ints = present.sum(axis=1)
    # Subtracting each row's first run first gives equal runs a spread of exactly 0, free of rounding.
    first = np.take_along_axis(values, present.argmax(axis=1)[:, None], axis=1)
    offset = np.where(present, values - first, 0.0)
    shift = offset.sum(axis=1) / counts
    squares = (np.where(present, offset - shift[:, None], 0.0) ** 2).sum(axis=1)
    means = (first[:, 0] - first[0, 0]) + shift
    return Grid(counts, means, squares, one_way(counts, means, squares))


def exact_ends(grid: Grid, level: float) -> Ends:
    """Return the normal-theory intervals of everything the grid can tell."""
    ends: Ends = {}
    layout, df = grid.layout, (float(grid.seeds - 1), float(grid.within_df))
    msw, msu, nh = float(layout.msw), float(layout.msu), float(layout.nh)
    if grid.within_df:
        ends["last_bit"] = variance_interval(msw, df[1], level)
    if grid.seeds > 1 and not grid.within_df:
        ends["total"] = variance_interval(msu, df[0], level)
    elif grid.seeds > 1:
        ends["seed"] = difference_interval((msu, msw), df, (1.0, 1 / nh), level)
        ends["total"] = sum_interval((msu, msw), df, (1.0, 1 - 1 / nh), level)
        if msw > 0:
            ends["share"] = within_share_interval(grid.counts, grid.means, msw, level)
    return ends


def bootstrap_ends(grid: Grid, level: float, resamples: int, seed: int) -> Ends:
    """Return BCa intervals over whole seeds of everything the grid can tell.

    Raises:
        LastbitError: fewer than three seeds.
    """
    if grid.seeds < 3:
        raise LastbitError(
            f"a bootstrap over seeds needs at least three seeds, got {grid.seeds}: use interval='exact' instead"
        )

    def interval(part: Callable[[OneWay], Floats]) -> tuple[float, float]:
        def statistic(index: Ints) -> Floats:
            return part(one_way(grid.counts[index], grid.means[index], grid.squares[index]))

        return bootstrap_interval(statistic, grid.seeds, level=level, resamples=resamples, seed=seed)

    if not grid.within_df:
        return {"total": interval(attrgetter("msu"))}
    parts = {"last_bit": "msw", "total": "total_variance", "seed": "seed_variance"}
    ends = {name: interval(attrgetter(part)) for name, part in parts.items()}
    return ends | ({"share": interval(last_bit_share)} if float(grid.layout.msw) > 0 else {})


def last_bit_share(layout: OneWay) -> Floats:
    """The share of each layout; NaN where no spread at all was drawn."""
    total = layout.msw + np.maximum(layout.seed_variance, 0.0)
    share = np.full(np.shape(total), np.nan)
    np.divide(layout.msw, total, out=share, where=total > 0)
    return share
