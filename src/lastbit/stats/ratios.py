"""How many times as large a mean is in one arm as in another that has the same seeds, whatever the seeds are like.

    R = mean(changed)/mean(base),   theta = log R

Some seeds are restless and some calm: a few make most of both means, and an interval that takes the seeds for alike (F
for two variances) covers 0.3 to 0.9 of the time. Two intervals over the S seeds do not take them for alike, both
Student's with S - 1 degrees of freedom:

    jackknife   theta ∓ t se, se from theta with one seed left out after the other (Miller 1974, Biometrika 61, 1-15)
    logarithms  mean_s d_s ∓ t sd(d_s)/sqrt(S),   d_s = log(changed_s/base_s)

The first is about R itself, but falls short where one seed makes most of a mean. The second is about the typical ratio
of a seed, which is R where the change does the same to every seed; but without any effect the two arms of a seed can be
exchanged, d_s is symmetric about 0, and the interval keeps its level however much seeds differ and however heavy the
tails are. The interval here is the smallest that holds both: nothing is told from 1 that only one of the two tells.

Where fewer than two seeds of an arm have any of the quantity, no logarithm helps, and seeds are counted
(`_most_times`).

Axes: S seeds, the last; whatever comes before are simulated repetitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from lastbit.core.errors import LastbitError
from lastbit.core.words import plural
from lastbit.stats._inputs import Floats, Ints, check_level, numeric_array, unit_of
from lastbit.stats.estimate import FEW_SAMPLES, Estimate, not_measured
from lastbit.stats.resampling import jackknife_ses

__all__ = [
    "NO_WIDTH",
    "RatioEnds",
    "check_comparisons",
    "few_seeds_note",
    "ratio_ends",
    "ratio_estimate",
    "ratio_of_means",
]

FOR_LOGARITHMS = 2
"""So many seeds of both arms must have some of the quantity: leaving one out then leaves a logarithm to take."""

NO_WIDTH = 1e-6
"""An interval of a ratio whose ends are no further apart, relatively, is one of rounding, and none of the ratio."""


@dataclass(frozen=True)
class RatioEnds:
    """A ratio with its interval, each (...,): `low` is 0 and `high` infinite where the end is open.

    Attributes:
        ratio: R; NaN where the base has none of the quantity.
        low: lower end.
        high: upper end.
        seeds_base: how many seeds of the base have any of it.
        seeds_changed: likewise.
    """

    ratio: Floats
    low: Floats
    high: Floats
    seeds_base: Ints
    seeds_changed: Ints


def ratio_of_means(base: ArrayLike, changed: ArrayLike, *, level: float = 0.95, comparisons: int = 1) -> Estimate:
    """Return mean(changed)/mean(base) of a quantity that is never negative, paired by seed.

    For churn, distances of weights, seconds. Seeds that lack a value in either arm are left out. Simulated under
    log-normal values whose logarithms have an SD of 0.3 to 1.4, with the same seeds high in both arms or not, 4 to 20
    seeds: covers 0.95 to 0.99 at a nominal 0.95.

    Args:
        base: (S,) one number per seed; NaN where a seed has none.
        changed: (S,) of the same seeds, in the same order.
        level: confidence level of all comparisons together.
        comparisons: how many changes are compared with the base: each interval is at 1 - (1 - level)/comparisons, so
            that all of them hold at once with `level` (Bonferroni).

    Raises:
        LastbitError: not (S,) arrays of the same seeds, a negative or an infinite number, a bad level, or no
            comparison.

    Example:
        >>> print(ratio_of_means([2.0, 4.0, 3.0, 3.5], [1.1, 1.9, 1.4, 1.8]))
        0.50 [0.44, 0.56] (n = 4)
    """
    each = check_comparisons(level, comparisons)
    first, second = (numeric_array(arm, f"the {name}", 1) for name, arm in (("base", base), ("change", changed)))
    if first.shape != second.shape:
        raise LastbitError(
            f"the base has {plural(len(first), 'seed')} and the change {len(second)}: give both the same seeds, NaN "
            "where a value is missing"
        )
    given = ~(np.isnan(first) | np.isnan(second))
    first, second = first[given], second[given]
    if min(first.min(initial=0.0), second.min(initial=0.0)) < 0:
        raise LastbitError("a ratio of means needs quantities that are never negative: compare the difference instead")
    if not len(first):
        return not_measured("no seed has a value in both the base and the change")
    if not first.any():
        return not_measured("the base shows none in any seed", len(first))
    one, unit = np.ones(len(first)), max(unit_of(first), unit_of(second))
    first, second = first / unit, second / unit
    return ratio_estimate(ratio_ends((first, one), (second, one), each), len(first), "no seed shows any")


def check_comparisons(level: float, comparisons: int) -> float:
    """Return the level of each of so many comparisons that hold at once with `level`.

    Raises:
        LastbitError: a level outside (0, 1), or no comparison.
    """
    check_level(level)
    if comparisons < 1:
        raise LastbitError(f"comparisons = {comparisons}: write how many changes are compared with the base, 1 or more")
    return 1 - (1 - level) / comparisons


def ratio_ends(base: tuple[Floats, Floats], changed: tuple[Floats, Floats], level: float) -> RatioEnds:
    """Return the ratio of two means over the same seeds with its interval (the module says which).

    Args:
        base: sums (..., S) and what each is divided by (..., S): sums of squares and degrees of freedom for variances,
            of which the mean is then the pooled one. From another number of degrees of freedom follows another mean of
            the logarithm, digamma(df/2) - log(df/2) for normal values, which is taken off.
        changed: likewise.
        level: confidence level.
    """
    (sum_b, df_b), (sum_c, df_c) = base, changed
    seeds = sum_b.shape[-1]
    positive_b, positive_c = np.broadcast_arrays((sum_b > 0).sum(axis=-1), (sum_c > 0).sum(axis=-1))
    # Where an arm has nothing, logarithms are infinite; what becomes of them is replaced below.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = _mean(sum_c, df_c) / _mean(sum_b, df_b)
        theta = np.log(ratio)
        t = float(stats.t.ppf((1 + level) / 2, seeds - 1)) if seeds > 1 else np.inf
        reach = t * jackknife_ses(np.log(_means_without(sum_c, df_c) / _means_without(sum_b, df_b)))
        apart = _log_ratios(sum_b / df_b, sum_c / df_c) - (_log_bias(df_c) - _log_bias(df_b))
        typical = apart.mean(axis=-1)
        around = t * apart.std(axis=-1, ddof=1) / np.sqrt(seeds) if seeds > 1 else np.full(np.shape(theta), np.inf)
        low = np.exp(np.minimum(theta - reach, typical - around))
        high = np.exp(np.maximum(theta + reach, typical + around))
        # A seed that has not been seen may have as much as one of the other arm, or more where one was seen to have.
        size = ratio * positive_b / positive_c
        few_b, few_c = positive_b < FOR_LOGARITHMS, positive_c < FOR_LOGARITHMS
        most = _most_often(positive_c, positive_b, seeds, level, few_c & ~few_b) * np.fmax(size, 1.0)
        least = 1 / (_most_often(positive_b, positive_c, seeds, level, few_b & ~few_c) * np.fmax(1 / size, 1.0))
    low = np.where(few_c, 0.0, np.where(few_b, least, low))
    high = np.where(few_b, np.inf, np.where(few_c, most, high))
    return RatioEnds(ratio, np.fmin(low, ratio), np.fmax(high, ratio), positive_b, positive_c)


def _mean(sums: Floats, df: Floats) -> Floats:
    return np.asarray(sums.sum(axis=-1) / df.sum(axis=-1))


def _means_without(sums: Floats, df: Floats) -> Floats:
    """The mean with one seed left out after the other, (..., S); summed anew, so that nothing left is exactly 0."""
    others = 1.0 - np.eye(sums.shape[-1])
    return np.asarray((sums @ others) / (df @ others))


def _log_ratios(base: Floats, changed: Floats) -> Floats:
    """Return log(changed/base) of each seed, (..., S), with 0 taken for the least that any seed of either arm has.

    The least is the same whichever arm is called the base, so that the logarithms stay symmetric without any effect.
    """
    least = np.minimum(*(arm.min(axis=-1, keepdims=True, initial=np.inf, where=arm > 0) for arm in (base, changed)))
    return np.asarray(np.log(np.maximum(changed, least) / np.maximum(base, least)))


def _log_bias(df: Floats) -> Floats:
    return np.asarray(special.digamma(df / 2) - np.log(df / 2))


def _most_often(fewer: Ints, more: Ints, seeds: int, level: float, where: NDArray[np.bool_]) -> Floats:
    """Return `_most_times` of each pair of counts, NaN outside `where`."""
    found = np.full(np.shape(where), np.nan)
    for place in np.ndindex(found.shape):
        if where[place]:
            found[place] = _most_times(int(fewer[place]), int(more[place]), seeds, (1 - level) / 2)
    return found


@cache
def _most_times(fewer: int, more: int, seeds: int, tail: float) -> float:
    """How many times as often as in one arm a seed of the other may have any, where `fewer` and `more` of them have.

    The largest rho at which the chance of so few and so many is still `tail`, at the worst q:

        max_q P(Bin(S, rho q) <= fewer) P(Bin(S, q) >= more) = tail

    Exact for independent arms, and more where the same seeds have it in both: few and many then go together less often.
    """

    def excess(log_rho: float) -> float:
        rho = np.exp(log_rho)
        q = np.linspace(0.0, min(1.0, 1 / rho), 2001)
        chances = special.bdtr(fewer, seeds, rho * q) * special.bdtrc(more - 1, seeds, q)
        return float(chances.max()) - tail

    # P(Bin(S, q) >= 2) is at most (S q)^2/2, and q at most 1/rho.
    return float(np.exp(optimize.brentq(excess, np.log(tail), np.log(seeds / np.sqrt(tail)))))


def ratio_estimate(ends: RatioEnds, seeds: int, none: str, *notes: str) -> Estimate:
    """Return the ratio of one comparison as an estimate over so many seeds; `none` says that the change shows none."""
    ratio, low, high = (float(number) for number in (ends.ratio, ends.low, ends.high))
    said = [few_seeds_note(seeds), *notes]
    if seeds < 2:
        return Estimate(ratio, None, None, seeds, _joined("an interval needs two seeds, got 1", *notes))
    if high <= low * (1 + NO_WIDTH):
        return Estimate(ratio, None, None, seeds, _joined("every seed has this ratio: no interval is measured", *said))
    unseen = "allows for as many as may have gone unseen" if np.isfinite(high) else "is not measured"
    if ends.seeds_changed == 0:
        said.insert(0, f"{none}: the upper end {unseen}")
    elif ends.seeds_changed == 1:
        said.insert(0, f"one seed has all that is left: the upper end {unseen}")
    elif ends.seeds_base == 1:
        said.insert(0, f"one seed has all of the base's: the upper end {unseen}")
    return Estimate(ratio, low, high if np.isfinite(high) else None, seeds, _joined(*said))


def few_seeds_note(seeds: int) -> str:
    """Return the remark that an interval rests on few seeds; "" from `FEW_SAMPLES` on."""
    return f"few seeds: {seeds}" if seeds < FEW_SAMPLES else ""


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
