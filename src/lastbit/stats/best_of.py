"""What reporting the best of several runs does: it lies above the mean by what selection adds, not by merit.

The largest of n independent normal runs lies on average above their mean by

    sigma e_n,   e_n = n * integral of x phi(x) Phi(x)^(n-1) dx:   0.56, 0.85, 1.03, 1.16, 1.54 for n = 2, 3, 4, 5, 10

Source: Tippett (1925), Biometrika 17, 364-387. "The better of two checkpoints" is n = 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from lastbit.core.errors import LastbitError
from lastbit.stats._inputs import check_level, finite_array, unit_of
from lastbit.stats.arms import spread_of
from lastbit.stats.estimate import Estimate, few_samples_note, not_measured

__all__ = ["BestOf", "best_of_runs", "expected_maximum"]


@dataclass(frozen=True)
class BestOf:
    """The best of several runs beside what choosing it does, in the unit of the values.

    Attributes:
        n: runs that it was chosen from.
        best: the largest, or the smallest where lower is better.
        mean: of all runs.
        by_selection: how much better than the mean the best of n such runs is on average; its interval is that of the
            SD.
    """

    n: int
    best: float
    mean: float
    by_selection: Estimate


@cache
def expected_maximum(n: int) -> float:
    """Return the expected maximum of n independent standard normal runs.

    Raises:
        LastbitError: n is below 1.

    Example:
        >>> [round(expected_maximum(n), 3) for n in (1, 2, 5, 100)]
        [0.0, 0.564, 1.163, 2.508]
    """
    if n < 1 or n != int(n):
        raise LastbitError(f"n = {n}: the best is chosen from a whole number of runs, at least 1")
    # E max = integral over x > 0 of P(max > x) - P(max < -x); beyond 12 nothing is left for any n that fits in memory.
    points, weights = special.roots_legendre(400)
    x = 6 * (points + 1)
    above = -np.expm1(n * special.log_ndtr(x))
    return float(6 * weights @ (above - np.exp(n * special.log_ndtr(-x))))


def best_of_runs(values: ArrayLike, *, higher_is_better: bool, level: float = 0.95) -> BestOf:
    """Return the best of several runs, and how much better than the mean choosing it makes it on average.

    Args:
        values: (n,) the runs it was chosen from, each with a seed of its own.
        higher_is_better: False for a loss or an error.
        level: confidence level.

    Raises:
        LastbitError: no runs, NaN, or a bad level.

    Example:
        >>> found = best_of_runs([97.1, 97.4, 96.9, 97.2, 97.3], higher_is_better=True)
        >>> found.best, found.by_selection.format()
        (97.4, '0.22 [0.13, 0.64] (n = 5)')
    """
    check_level(level)
    array = finite_array(values, "the runs to choose from", 1)
    n = len(array)
    if not n:
        raise LastbitError("the best of no runs: give one number per run")
    unit = unit_of(array)
    scaled = array / unit
    spread = spread_of(scaled)
    best, mean = float(array.max() if higher_is_better else array.min()), float(scaled.mean()) * unit
    if n < 2:
        gain = not_measured("one run was not chosen from others", n)
    elif not spread:
        gain = not_measured(f"no spread was seen in {n} runs", n)
    else:
        factor = expected_maximum(n) * spread
        tails = (1 + level) / 2, (1 - level) / 2
        low, high = (math.sqrt((n - 1) / float(stats.chi2.ppf(tail, n - 1))) for tail in tails)
        gain = Estimate(factor, factor * low, factor * high, n, few_samples_note(n - 1.0)).scaled(unit)
    return BestOf(n, best, mean, gain)
