"""What a spread means for comparisons: the difference that n seeds resolve, and the seeds that a difference needs.

Two configurations are trained with n fresh seeds each, and their means compared. From two seeds on the comparison has a
spread of its own and is `compare_arms`: Welch's t, whose power at equal true variances is `welch_power`. The smallest
difference found with the wanted power is then

    delta = lambda(n) s sqrt(2/n),   s the audit's SD, lambda(n) = detectable_in_se(n, n)

so that what an audit promises is what a comparison finds. One seed each has no spread of its own and is compared with
the spread of the audit, t = (x_1 - x_2)/(s sqrt(2)) on its nu degrees of freedom, whose noncentrality lambda at the
wanted power depends on nu alone.

That is a statement about the true difference. Of the one that is observed the audit says: noise alone exceeds
t s sqrt(2/n), t the quantile of Student's distribution on nu degrees of freedom, in a share 1 - level of comparisons.
The two are different numbers, 3.96 s and 2.77 s for single runs and a well-known s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from lastbit.core.errors import LastbitError
from lastbit.stats.estimate import Estimate, not_measured
from lastbit.stats.noncentral import detectable_noncentrality
from lastbit.stats.welch import detectable_in_se, seeds_for, welch_power

__all__ = ["ResolvableDifference", "SeedsNeeded", "seeds_needed", "smallest_resolvable_difference"]

_KNOWN_TO = 10.0
"""An SD whose interval ends at more than so many times the SD says nothing of what a comparison needs: that of
chi-square on one degree of freedom ends at 32, on two at 6."""


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
        5 0.54 [0.48, 0.63] (n = 100) 0.33 [0.29, 0.38] (n = 100)
    """
    for n in n_seeds:
        if n < 1 or n != int(n):
            raise LastbitError(f"n_seeds = {n}: a comparison needs a whole number of seeds, at least 1")
    too_little = _too_little(sigma)
    if too_little is not None:
        return [ResolvableDifference(int(n), too_little, too_little) for n in n_seeds]
    df = _degrees_of_freedom(sigma)
    alone = detectable_noncentrality(df, power=power, level=level)
    line = float(stats.t.ppf((1 + level) / 2, df))
    found = []
    for n in map(int, n_seeds):
        root = math.sqrt(2 / n)
        reach = alone if n == 1 else detectable_in_se(n, n, power=power, level=level)
        found.append(ResolvableDifference(n, sigma.scaled(reach * root), sigma.scaled(line * root)))
    return found


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

    One seed is enough where `smallest_resolvable_difference` says so of one; else it is three or more, for two give no
    verdict. The interval is that of sigma, carried over. Not measured where no spread was seen, where sigma is known to
    a factor of ten at best, or beyond a million seeds.

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
        [28.0, 6.0]
    """
    for difference in differences:
        if not (np.isfinite(difference) and difference > 0):
            raise LastbitError(f"difference = {difference}: seeds are counted for positive differences only")
    too_little = _too_little(sigma)
    if too_little is not None:
        return [SeedsNeeded(float(difference), too_little) for difference in differences]
    alone = detectable_noncentrality(_degrees_of_freedom(sigma), power=power, level=level) * math.sqrt(2)
    found = []
    for difference in differences:
        estimate, low, high = (
            None if spread is None else _seeds(difference / spread if spread else math.inf, alone, power, level)
            for spread in (sigma.estimate, sigma.low, sigma.high)
        )
        if estimate is None:
            needed = not_measured("more than 1,000,000 seeds", sigma.n)
        else:
            needed = Estimate(estimate, low, high, sigma.n, sigma.note)
        found.append(SeedsNeeded(float(difference), needed))
    return found


def _seeds(sigmas: float, alone: float, power: float, level: float) -> float | None:
    """Return the fewest seeds each that find a difference of so many SDs: 1 from `alone` up; None beyond a million."""
    # A hair below, so that rounding does not ask for more seeds where the difference is just what they resolve.
    sigmas *= 1 + 1e-9
    if sigmas >= alone:
        return 1.0
    found = seeds_for(lambda n: welch_power(sigmas * math.sqrt(n / 2), n, n, level), power=power)
    return None if found is None else float(found)
