"""A grid of runs by seed, and the intervals of its variances by normal theory or by bootstrap.

`variance_components` documents the estimators and the reasons for each interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from scipy import stats

from lastbit.core.errors import LastbitError
from lastbit.stats._inputs import Floats, Ints
from lastbit.stats.mean_squares import (
    difference_interval,
    root,
    share_of_ratio,
    sum_interval,
    variance_interval,
    within_share_interval,
)
from lastbit.stats.one_way import OneWay, one_way
from lastbit.stats.resampling import bootstrap_interval

__all__ = ["Ends", "Grid", "bootstrap_ends", "exact_ends", "last_bit_share", "own_ends", "summarise"]

COARSE = 1.5
"""Steps of the values are small against a spread that is at least so many of them."""

Ends = dict[str, tuple[float, float]]
"""Intervals by the name of what they hold: `"last_bit"`, `"seed"`, `"total"` (variances), `"share"`."""


@dataclass(frozen=True)
class Grid:
    """The runs of each seed that has any: counts, means and sums of squares about them, and the layout they make."""

    counts: Ints
    means: Floats
    """Apart from the first run of all."""
    squares: Floats
    values: Floats
    """Of all runs, seed after seed."""
    layout: OneWay
    step: float
    """What the values are whole multiples of, apart, where they have ties; 0 where they have none."""

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

    @property
    def coarse(self) -> bool:
        """Whether the steps of the values are not small against the spread of runs that share a seed."""
        spread = self.layout.msw if self.within_df else self.layout.msu
        return self.step > 0 and root(float(spread)) < COARSE * self.step


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
    # Runs of a seed that are all equal are ties for another reason than steps.
    step = _step(values[present]) if squares.any() or (counts == 1).all() else 0.0
    return Grid(counts, means, squares, values[present], one_way(counts, means, squares), step)


def _step(values: Floats) -> float:
    """Return the step of which all differences of `values` are whole multiples; 0 where no two values are equal."""
    distinct = np.unique(values)
    gaps = np.diff(distinct)
    gaps = gaps[gaps > 1e-12 * np.abs(distinct).max()]
    if not len(gaps) or len(gaps) + 1 == len(values):
        return 0.0
    for parts in (1, 2, 3):
        multiples = gaps / (gaps.min() / parts)
        if (np.abs(multiples - np.rint(multiples)) < 1e-6 * multiples).all():
            return float(gaps.min()) / parts
    return 0.0


def exact_ends(grid: Grid, level: float) -> Ends:
    """Return the normal-theory intervals of everything the grid can tell.

    Where the steps of the values are not small against their spread, a value that is rounded to a step is off by up to
    half a step, and so the root of a mean square by up to `step / 2 sqrt(n / df)` (the triangle inequality): every end
    is that of the mean squares at their farthest.
    """
    ends: Ends = {}
    layout, df = grid.layout, (float(grid.seeds - 1), float(grid.within_df))
    nh, half = float(layout.nh), grid.step / 2 if grid.coarse else 0.0
    msw = _off(float(layout.msw), half, grid.runs, df[1])
    msu = _off(float(layout.msu), half, grid.seeds, df[0])
    if grid.within_df:
        ends["last_bit"] = _outer(lambda i: variance_interval(msw[i], df[1], level))
    if grid.seeds > 1 and not grid.within_df:
        ends["total"] = _outer(lambda i: variance_interval(msu[i], df[0], level))
    elif grid.seeds > 1:
        low = difference_interval((msu[0], msw[1]), df, (1.0, 1 / nh), level)[0]
        # Seeds' means that lie closer together than no seed effect makes them on average are chance, not certainty.
        apart = max(msu[1], msw[1] / nh)
        ends["seed"] = low, difference_interval((apart, msw[0]), df, (1.0, 1 / nh), level)[1]
        ends["total"] = _outer(lambda i: sum_interval((msu[i], msw[i]), df, (1.0, 1 - 1 / nh), level))
        if layout.msw > 0:
            ends["share"] = within_share_interval(grid.counts, grid.means, float(layout.msw), level)
            if half:
                quantiles = stats.f.ppf([(1 - level) / 2, (1 + level) / 2], *df)
                ratios = nh * msu[1] / msw[0] if msw[0] else np.inf, nh * msu[0] / msw[1]
                wide = [share_of_ratio(r, nh, q) for r, q in zip(ratios, quantiles, strict=True)]
                ends["share"] = min(wide[0], ends["share"][0]), max(wide[1], ends["share"][1])
    return ends


def own_ends(grid: Grid, runs: int, square: float, level: float) -> tuple[float, float]:
    """Return the interval of the last bit's variance of one seed alone, with its runs and its sum of squares."""
    off = _off(square / (runs - 1), grid.step / 2 if grid.coarse else 0.0, runs, float(runs - 1))
    return _outer(lambda i: variance_interval(off[i], float(runs - 1), level))


def _off(square: float, half: float, n: int, df: float) -> tuple[float, float]:
    """The least and the largest mean square of `n` values on `df` degrees of freedom, each off by up to `half`."""
    reach = half * math.sqrt(n / df) if df else 0.0
    if not reach:
        return square, square
    return max(root(square) - reach, 0.0) ** 2, (root(square) + reach) ** 2


def _outer(interval: Callable[[int], tuple[float, float]]) -> tuple[float, float]:
    """The lower end of the interval of the least, and the upper end of that of the largest."""
    return interval(0)[0], interval(1)[1]


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
