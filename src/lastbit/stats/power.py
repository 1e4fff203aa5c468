"""What a spread means for comparisons: the difference that n seeds resolve, and the seeds that a difference needs.

Two configurations are trained with n fresh seeds each, and their means compared with the spread the audit measured:

    t = (mean_1 - mean_2) / (s sqrt(2/n)),   s the audit's SD on nu degrees of freedom

Under a true difference delta, t has Student's distribution on nu degrees of freedom with noncentrality lambda = delta /
(sigma sqrt(2/n)). The two-sided test at 1 - level has the wanted power at one lambda, which depends on nu alone; with
delta = lambda sigma sqrt(2/n) everything else is closed form. Source: Cohen (1988), Statistical Power Analysis, chapter
2, with nu taken from the audit in place of 2n - 2, so that even one seed each can be judged.

That is a statement about the true difference. Of the one that is observed the same test says: noise alone exceeds
t s sqrt(2/n), t the quantile of Student's distribution on nu degrees of freedom, in a share 1 - level of comparisons.
The two are different numbers, 3.96 s and 2.77 s for single runs and a well-known s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import optimize, stats

from lastbit.core.errors import LastbitError
from lastbit.stats._inputs import Floats, check_level
from lastbit.stats.estimate import Estimate, not_measured

__all__ = ["ResolvableDifference", "SeedsNeeded", "seeds_needed", "smallest_resolvable_difference"]

_KNOWN_TO = 10.0
"""An SD whose interval ends at more than so many times the SD says nothing of what a comparison needs: that of
chi-square on one degree of freedom ends at 32, on two at 6."""

_MOST_SEEDS = 1e6
"""From so many seeds on, the number is of no use to anyone."""

_NORMAL_DF = 1e5
"""Degrees of freedom from which Student's noncentral distribution counts as normal (the powers differ by < 1e-4)."""


@dataclass(frozen=True)
class ResolvableDifference:
    """What `n_seeds` seeds of each of two configurations can tell apart.

    Attributes:
        n_seeds: of each configuration.
        difference: the smallest *true* difference that is found with the wanted power.
        observed: the *observed* difference that noise alone exceeds in a share 1 - level of comparisons.
    """

    n_seeds: int
    difference: Estimate
    observed: Estimate = field(default_factory=lambda: not_measured("an earlier version concluded the study"))


@dataclass(frozen=True)
class SeedsNeeded:
    """The seeds of each configuration that find a true difference with the wanted power; whole numbers."""

    difference: float
    n_seeds: Estimate


def t_test_power(noncentrality: float, df: float, level: float = 0.95) -> float:
    """Return the power P(|t| > critical) of the two-sided t test at 1 - level.

    Args:
        noncentrality: true difference over its standard error.
        df: degrees of freedom of the standard error.
        level: confidence level of the test.
    """
    edge = stats.norm.ppf((1 + level) / 2) if df >= _NORMAL_DF else stats.t.ppf((1 + level) / 2, df)
    return float(exceedance(edge, noncentrality, df))


def exceedance(edge: Floats | float, noncentrality: float, df: float) -> Floats:
    """Return P(|t| > edge) of Student's noncentral distribution on df degrees of freedom, for edges of any shape."""
    if df >= _NORMAL_DF:
        return np.asarray(stats.norm.sf(edge - noncentrality) + stats.norm.cdf(-edge - noncentrality))
    upper, lower = stats.nct.sf(edge, df, noncentrality), stats.nct.cdf(-edge, df, noncentrality)
    # SciPy's lower tail is NaN for some small df where it is negligible: t < 0 only if its numerator is, so the tail is
    # below Phi(-noncentrality), 3e-5 at 4.
    return np.asarray(upper + np.where(np.isnan(lower) & (noncentrality >= 4), 0.0, lower))


def check_power(power: float, level: float) -> None:
    """Refuse a level outside (0, 1), and a power that a test at it has without a difference, or never."""
    check_level(level)
    if not 1 - level < power < 1:
        raise LastbitError(f"power = {power}: it must lie above the test's size {1 - level:.3g} and below 1")


def detectable_noncentrality(df: float, *, power: float = 0.8, level: float = 0.95) -> float:
    """Return the noncentrality at which the two-sided t test at 1 - level has the given power.

    Raises:
        LastbitError: the level is outside (0, 1), the power not above the test's size 1 - level or not below 1, or
            there is less than one degree of freedom.

    Example:
        >>> round(detectable_noncentrality(30), 3)
        2.895
    """
    check_power(power, level)
    if not df >= 1:
        raise LastbitError(f"df = {df}: a t test needs an SD on at least one degree of freedom")
    high = 4.0
    while t_test_power(high, df, level) < power:
        high *= 2
    return float(optimize.brentq(lambda value: t_test_power(value, df, level) - power, 0.0, high, xtol=1e-10))


def _degrees_of_freedom(sigma: Estimate) -> float:
    """The SD's own degrees of freedom, else one less than its samples."""
    return sigma.df if sigma.df is not None else float(sigma.n - 1)


def smallest_resolvable_difference(
    sigma: Estimate, *, n_seeds: Sequence[int] = (1, 3, 5, 10), power: float = 0.8, level: float = 0.95
) -> list[ResolvableDifference]:
    """Return the smallest true difference between two configurations that n fresh seeds of each resolve.

    Beside it, as `observed`, stands the observed difference that noise alone exceeds in a share 1 - level of
    comparisons. The intervals are that of sigma, carried over: both are proportional to sigma. Where no spread was
    seen, or sigma is known to a factor of ten at best (two seeds), neither is measured.

    Args:
        sigma: SD of a fresh run with a fresh seed (`VarianceComponents.sigma_total`), with its degrees of freedom.
        n_seeds: seeds of each configuration.
        power: chance of finding the difference.
        level: of the two-sided test at 1 - level.

    Raises:
        LastbitError: a number of seeds below 1, a bad power or level, or an SD without degrees of freedom.

    Example:
        >>> sigma = Estimate(0.26, 0.23, 0.30, 100)
        >>> for row in smallest_resolvable_difference(sigma, n_seeds=(1, 5)):
        ...     print(row.n_seeds, row.difference, row.observed)
        1 1.0 [0.9, 1.2] (n = 100) 0.73 [0.65, 0.84] (n = 100)
        5 0.47 [0.41, 0.54] (n = 100) 0.33 [0.29, 0.38] (n = 100)
    """
    for n in n_seeds:
        if n < 1 or n != int(n):
            raise LastbitError(f"n_seeds = {n}: a comparison needs a whole number of seeds, at least 1")
    too_little = _too_little(sigma)
    if too_little is not None:
        return [ResolvableDifference(int(n), too_little, too_little) for n in n_seeds]
    df = _degrees_of_freedom(sigma)
    reach = detectable_noncentrality(df, power=power, level=level)
    line = float(stats.t.ppf((1 + level) / 2, df))
    roots = [(int(n), math.sqrt(2 / n)) for n in n_seeds]
    return [ResolvableDifference(n, sigma.scaled(reach * root), sigma.scaled(line * root)) for n, root in roots]


def _too_little(sigma: Estimate) -> Estimate | None:
    """Return why a spread says nothing of comparisons; None where it does."""
    if sigma.estimate is None:
        return not_measured("the spread is not measured", sigma.n)
    if not sigma.estimate:
        return not_measured("no spread was seen, and how large an unseen one may be is not known", sigma.n)
    known_to = sigma.high / sigma.estimate if sigma.high is not None else 1.0
    if known_to > _KNOWN_TO:
        return not_measured(f"too few seeds to tell: the spread may be {known_to:.0f} times as large", sigma.n)
    return None


def seeds_needed(
    sigma: Estimate,
    *,
    differences: Sequence[float] = (0.1, 0.2, 0.5, 1.0),
    power: float = 0.8,
    level: float = 0.95,
) -> list[SeedsNeeded]:
    """Return the seeds that each of two configurations needs for a true difference to be found.

    n = ceil(2 (lambda sigma / difference)^2), at least 1; the interval is that of sigma, carried over. Not measured
    where no spread was seen, where sigma is known to a factor of ten at best, or beyond a million seeds.

    Args:
        sigma: SD of a fresh run with a fresh seed (`VarianceComponents.sigma_total`), with its degrees of freedom.
        differences: true differences, in the unit of sigma.
        power: chance of finding each.
        level: of the two-sided test at 1 - level.

    Raises:
        LastbitError: a difference that is not positive and finite, a bad power or level, or an SD without degrees of
            freedom.

    Example:
        >>> [row.n_seeds.estimate for row in seeds_needed(Estimate(0.26, 0.23, 0.30, 100), differences=(0.2, 0.5))]
        [28.0, 5.0]
    """
    for difference in differences:
        if not (np.isfinite(difference) and difference > 0):
            raise LastbitError(f"difference = {difference}: seeds are counted for positive differences only")
    too_little = _too_little(sigma)
    if too_little is not None:
        return [SeedsNeeded(float(difference), too_little) for difference in differences]
    reach = detectable_noncentrality(_degrees_of_freedom(sigma), power=power, level=level)
    found = []
    for difference in differences:
        estimate, low, high = (
            None if spread is None else _seeds(reach * spread / difference)
            for spread in (sigma.estimate, sigma.low, sigma.high)
        )
        if estimate is None:
            needed = not_measured(f"more than {_MOST_SEEDS:,.0f} seeds", sigma.n)
        else:
            needed = Estimate(estimate, low, high, sigma.n, sigma.note)
        found.append(SeedsNeeded(float(difference), needed))
    return found


def _seeds(ratio: float) -> float | None:
    """Return n = ceil(2 ratio^2), at least 1; None beyond `_MOST_SEEDS`."""
    # A hair below the ceiling, so that rounding does not ask for one seed more where the quotient is whole.
    return float(max(1, math.ceil(2 * ratio**2 - 1e-9))) if ratio < math.sqrt(_MOST_SEEDS / 2) else None
