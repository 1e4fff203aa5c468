"""Normal-theory intervals for one mean square, for sums and differences of two, and for a variance ratio.

A mean square MS on n degrees of freedom is distributed as its expectation times chi-square_n / n; two of a one-way
layout are independent. The chi-square and F intervals are then exact. Sums and differences use the modified
large-sample method, which is exact whenever one of the two terms vanishes: Graybill and Wang (1980), JASA 75, 869-873
for sums; Ting, Burdick, Graybill, Jeyaratnam and Lu (1990), J. Statist. Comput. Simul. 35, 135-143 for differences;
both in Burdick and Graybill (1992), Confidence Intervals on Variance Components, sections 3.2 and 3.3.

All intervals are two-sided with (1 - level)/2 in each tail, and assume normal effects: heavy tails make spreads less
certain than these intervals say.
"""

from __future__ import annotations

from math import sqrt
from typing import TypeVar

import numpy as np
from scipy import optimize, stats

from lastbit.stats._inputs import Floats, Ints

__all__ = [
    "difference_interval",
    "root",
    "satterthwaite_df",
    "share_of_ratio",
    "sum_interval",
    "variance_interval",
    "within_share_interval",
]

Interval = tuple[float, float]
Number = TypeVar("Number", float, Floats)


def _lower_reach(df: float, level: float) -> float:
    """G = 1 - n / chi-square upper quantile: how far below 1 the lower end of sigma^2 / MS lies."""
    return 1 - df / float(stats.chi2.ppf((1 + level) / 2, df))


def _upper_reach(df: float, level: float) -> float:
    """H = n / chi-square lower quantile - 1: how far above 1 the upper end of sigma^2 / MS lies."""
    return df / float(stats.chi2.ppf((1 - level) / 2, df)) - 1


def variance_interval(ms: float, df: float, level: float = 0.95) -> Interval:
    """Return the exact chi-square interval of the expectation of a mean square on `df` degrees of freedom."""
    return ms * (1 - _lower_reach(df, level)), ms * (1 + _upper_reach(df, level))


def sum_interval(ms: tuple[float, float], df: tuple[float, float], c: tuple[float, float], level: float) -> Interval:
    """Return the Graybill-Wang interval of c1 E[MS1] + c2 E[MS2], for c1, c2 >= 0."""
    terms = [weight * square for weight, square in zip(c, ms, strict=True)]
    down = sqrt(sum((_lower_reach(n, level) * term) ** 2 for n, term in zip(df, terms, strict=True)))
    up = sqrt(sum((_upper_reach(n, level) * term) ** 2 for n, term in zip(df, terms, strict=True)))
    return sum(terms) - down, sum(terms) + up


def difference_interval(
    ms: tuple[float, float], df: tuple[float, float], c: tuple[float, float], level: float
) -> Interval:
    """Return the interval of Ting et al. of c1 E[MS1] - c2 E[MS2], for c1, c2 >= 0; either end may be negative.

    Its lower end is 0 exactly where the F test of E[MS1] > E[MS2] at (1 - level)/2 is on the edge (c1 = c2).
    """
    first, second = c[0] * ms[0], c[1] * ms[1]
    g1, h1 = _lower_reach(df[0], level), _upper_reach(df[0], level)
    g2, h2 = _lower_reach(df[1], level), _upper_reach(df[1], level)
    upper_f = float(stats.f.ppf((1 + level) / 2, *df))
    lower_f = float(stats.f.ppf((1 - level) / 2, *df))
    g12 = ((upper_f - 1) ** 2 - (g1 * upper_f) ** 2 - h2**2) / upper_f
    h12 = ((1 - lower_f) ** 2 - (h1 * lower_f) ** 2 - g2**2) / lower_f
    down = (g1 * first) ** 2 + (h2 * second) ** 2 + g12 * first * second
    up = (h1 * first) ** 2 + (g2 * second) ** 2 + h12 * first * second
    # The cross terms are negative and can outweigh the squares by rounding when the two terms are nearly equal.
    return first - second - sqrt(max(down, 0.0)), first - second + sqrt(max(up, 0.0))


def satterthwaite_df(ms: tuple[Number, Number], df: tuple[Number, Number], c: tuple[Number, Number]) -> Number:
    """Return the degrees of freedom (sum c MS)^2 / sum((c MS)^2 / n) of a sum of mean squares.

    Source: Satterthwaite (1946), Biometrics Bulletin 2, 110-114.
    """
    first, second = c[0] * ms[0], c[1] * ms[1]
    return (first + second) ** 2 / (first**2 / df[0] + second**2 / df[1])


def within_share_interval(counts: Ints, means: Floats, msw: float, level: float) -> Interval:
    """Return the exact interval of v = sigma_last_bit^2 / (sigma_last_bit^2 + sigma_seed^2), truncated to [0, 1].

    With w_s = n_s v / (v + n_s (1 - v)) proportional to the inverse variances of the seed means,

        W(v) = sum_s w_s (mean_s - weighted mean)^2 / ((S - 1) MSW)  ~  F(S - 1, N - S)

    and rises with v, so the ends are where W meets two quantiles of F. In a balanced grid this is the textbook interval
    v = P / (P + F/F_q - 1). Source: Wald (1940), Ann. Math. Statist. 11, 96-100; Searle, Casella and McCulloch (1992),
    section 3.6.

    Where the seeds' means lie so close together that the exact interval is empty (in 2.5% of grids without a seed
    effect) or next to it, W meets its lower quantile at 1 or beyond. That is chance, not certainty: the lower end is
    never above the one that a ratio MSB/MSW of 1, which is what no seed effect makes it on average, would give.

    Args:
        counts: (S,) runs of each seed, S > 1.
        means: (S,) their means.
        msw: mean square within seeds, positive.
        level: confidence level.
    """
    seeds, runs = len(counts), int(counts.sum())

    def excess(v: float, quantile: float) -> float:
        weights = counts * v / (v + counts * (1 - v))
        total = weights.sum()
        centre = (weights * means).sum() / total if total else 0.0
        return float((weights * (means - centre) ** 2).sum() / ((seeds - 1) * msw)) - quantile

    def end(probability: float) -> float:
        quantile = float(stats.f.ppf(probability, seeds - 1, runs - seeds))
        if excess(1.0, quantile) <= 0:
            return 1.0
        return float(optimize.brentq(excess, 0.0, 1.0, args=(quantile,), xtol=1e-12))

    per_seed = seeds / float((1 / counts).sum())
    at_most = share_of_ratio(1.0, per_seed, float(stats.f.ppf((1 - level) / 2, seeds - 1, runs - seeds)))
    return min(end((1 - level) / 2), at_most), end((1 + level) / 2)


def share_of_ratio(ratio: float, per_seed: float, quantile: float) -> float:
    """Return the share v at which a ratio of mean squares MSB/MSW meets a quantile of F, cut to [0, 1].

    Args:
        ratio: of the mean squares; may be infinite.
        per_seed: runs of each seed, above 1 (their harmonic mean where they differ).
        quantile: of F.
    """
    below = per_seed - 1 + ratio / quantile
    return min(per_seed / below, 1.0)


def root(number: float) -> float:
    """Return the square root of a variance, 0 where its estimate is negative."""
    return float(np.sqrt(max(number, 0.0)))
