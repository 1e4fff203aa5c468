"""Welch's t for two arms of few seeds, with degrees of freedom that keep its level, and its exact power.

    t = (mean_B - mean_A) / se,   se^2 = s_A^2/n_A + s_B^2/n_B,   nu = se^4 / sum_X (s_X^2/n_X)^2/(n_X - 1)

Source: Welch (1947), Biometrika 34, 28-35. With arms of unequal size of which one is small, nu follows the larger arm
whenever the smaller one happens to spread little, and 8.9 to 11.5% of comparisons come out falsely "real" (2 seeds
against 8). There nu is capped at 2 (n_min - 1), the most that two arms of the smaller size could have.

The power is that at equal true variances. With R = (n_A - 1) s_A^2 over the sum of both such terms, R has a Beta
distribution and is independent of that sum, so that given R, t is a multiple of a noncentral t on n_A + n_B - 2 degrees
of freedom, while its critical value depends on R alone. One integral over R remains.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import optimize, special, stats

from lastbit.stats._inputs import Floats
from lastbit.stats.noncentral import check_power, exceedance

__all__ = ["Welch", "detectable_in_se", "seeds_for", "welch", "welch_df", "welch_equivalence_power", "welch_power"]

SMALL_ARM = 4
"""Up to so many seeds in the smaller of two unequal arms, the degrees of freedom are capped."""

_CONCENTRATED = 500
"""From so many seeds in an arm on, the share R is as good as known."""

_MOST_SEEDS = 1_000_000

_ROUNDING = 4 * float(np.finfo(np.float64).eps)
"""Share of the larger mean up to which two means differ by the rounding of their sums alone."""


@dataclass(frozen=True)
class Welch:
    """A difference B - A with its standard error and degrees of freedom, in the unit of the means.

    Attributes:
        difference: mean of B minus mean of A.
        se: its standard error; 0 where no spread was seen.
        df: degrees of freedom, capped ones included; NaN where no spread was seen.
        capped: whether they were capped.
    """

    difference: float
    se: float
    df: float
    capped: bool = False

    @property
    def p_value(self) -> float:
        """The two-sided p value; NaN where no spread was seen."""
        return float(2 * special.stdtr(self.df, -abs(self.difference) / self.se)) if self.se else float("nan")

    def p_beyond(self, worth: float) -> float:
        """Return the larger of the two one-sided p values against a difference of ± `worth`; there is some spread."""
        return float(special.stdtr(self.df, (abs(self.difference) - worth) / self.se))

    def reach(self, level: float) -> float:
        """Half the length of the interval at `level`."""
        return float(stats.t.ppf((1 + level) / 2, self.df)) * self.se


def welch_df(square_a: Floats | float, square_b: Floats | float, n_a: int, n_b: int) -> Floats:
    """Return the degrees of freedom of a difference, capped where the arms are small and unequal.

    Args:
        square_a: s_A^2 / n_A, of any shape; not 0 together with `square_b`.
        square_b: s_B^2 / n_B.
        n_a: seeds of A, at least 2.
        n_b: seeds of B, at least 2.
    """
    share = np.asarray(square_a, dtype=np.float64) / (np.asarray(square_a) + square_b)
    df = 1 / (share**2 / (n_a - 1) + (1 - share) ** 2 / (n_b - 1))
    least = min(n_a, n_b)
    return np.minimum(df, 2.0 * (least - 1)) if n_a != n_b and least <= SMALL_ARM else df


def welch(means: tuple[float, float], variances: tuple[float, float], n: tuple[int, int]) -> Welch:
    """Return the difference of two arms with its standard error.

    Where one arm has a single seed, the other arm's spread stands for both, on its n - 1 degrees of freedom: the
    prediction of one further run. It is exact only where both arms spread alike.

    Args:
        means: of A and B over their seeds.
        variances: of the seeds' means; NaN for a single seed.
        n: seeds of A and B, at least two in one of them.
    """
    difference = means[1] - means[0]
    if abs(difference) <= _ROUNDING * max(map(abs, means)):
        difference = 0.0
    if min(n) == 1:
        known = variances[0] if n[0] > 1 else variances[1]
        df = float(max(n) - 1) if known else float("nan")
        return Welch(difference, math.sqrt(known * (1 / n[0] + 1 / n[1])), df)
    squares = variances[0] / n[0], variances[1] / n[1]
    if not sum(squares):
        return Welch(difference, 0.0, float("nan"))
    df = float(welch_df(*squares, *n))
    capped = min(n) <= SMALL_ARM and n[0] != n[1] and df == 2.0 * (min(n) - 1)
    return Welch(difference, math.sqrt(sum(squares)), df, capped)


@cache
def _shares(n_a: int, n_b: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return nodes of R with their weights, the degrees of freedom there, and se^2 over its expectation over S.

    S is the sum (n_A - 1) s_A^2 + (n_B - 1) s_B^2 over sigma^2, chi-square on n_A + n_B - 2 degrees of freedom.
    """
    a, b = n_a - 1, n_b - 1
    if max(a, b) > _CONCENTRATED:
        share, weight = np.array([a / (a + b)]), np.ones(1)
    else:
        # Gauss-Jacobi quadrature is exact for polynomials under the density of the Beta distribution.
        nodes, weight = special.roots_jacobi(24, b / 2 - 1, a / 2 - 1)
        share, weight = (1 + nodes) / 2, weight / weight.sum()
    square_a, square_b = share / (a * n_a), (1 - share) / (b * n_b)
    return share, weight, welch_df(square_a, square_b, n_a, n_b), (square_a + square_b) / (1 / n_a + 1 / n_b)


def welch_power(noncentrality: float, n_a: int, n_b: int, level: float = 0.95) -> float:
    """Return the power of the two-sided test at 1 - level where both arms have the same true variance.

    Args:
        noncentrality: the true difference over its true standard error sigma sqrt(1/n_A + 1/n_B).
        n_a: seeds of A, at least 2.
        n_b: seeds of B, at least 2.
        level: confidence level of the test.

    Example:
        >>> round(welch_power(3.507 * (3 / 2) ** 0.5, 3, 3), 2)
        0.8
    """
    _, weight, df, square = _shares(n_a, n_b)
    edge = stats.t.ppf((1 + level) / 2, df) * np.sqrt((n_a + n_b - 2) * square)
    return float(weight @ exceedance(edge, noncentrality, n_a + n_b - 2.0))


def welch_equivalence_power(reach: float, n_a: int, n_b: int, level: float = 0.95) -> float:
    """Return how often two one-sided tests settle that there is no difference, where there is none.

    Each is at 1 - level: the interval at 2 level - 1 lies within ± the difference that would be worth something.

    Args:
        reach: that difference over the true standard error sigma sqrt(1/n_A + 1/n_B).
        n_a: seeds of A, at least 2.
        n_b: seeds of B, at least 2.
        level: 1 minus the size of each of the two tests.
    """
    _, weight, df, square = _shares(n_a, n_b)
    total = stats.chi2.ppf((np.arange(200) + 0.5) / 200, n_a + n_b - 2)
    room = reach - (stats.t.ppf(level, df) * np.sqrt(square))[:, None] * np.sqrt(total)
    return float(weight @ (2 * special.ndtr(np.maximum(room, 0)) - 1).mean(axis=1))


@cache
def detectable_in_se(n_a: int, n_b: int, *, power: float = 0.8, level: float = 0.95) -> float:
    """Return the true difference that is found with the given power, over its standard error.

    Raises:
        LastbitError: the power is not above the test's size 1 - level or not below 1, or a bad level.

    Example:
        >>> [round(detectable_in_se(n, n) * (2 / n) ** 0.5, 1) for n in (2, 3, 4, 5, 10, 20)]
        [10.4, 3.5, 2.5, 2.1, 1.3, 0.9]
    """
    check_power(power, level)
    high = 4.0
    while welch_power(high, n_a, n_b, level) < power:
        high *= 2
    return float(optimize.brentq(lambda value: welch_power(value, n_a, n_b, level) - power, 0.0, high, xtol=1e-8))


def seeds_for(power_with: Callable[[int], float], *, power: float = 0.8, least: int = 3) -> int | None:
    """Return the fewest seeds an arm with which a power that rises with them is reached; None beyond a million."""
    high = least
    while power_with(high) < power:
        if high >= _MOST_SEEDS:
            return None
        high = min(2 * high, _MOST_SEEDS)
    low = max(least - 1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_with(middle) >= power else (middle, high)
    return high
