"""What a change does to the spread of a training: to the last bit's, to that of a fresh run, and to the mean.

    last_bit_ratio = sigma_last_bit(changed)/sigma_last_bit(base)
    fresh_ratio    = sigma_total(changed)/sigma_total(base)
    difference     = mean(changed) - mean(base)

over the same seeds in both arms. The last bit's variance differs from seed to seed, often by orders of magnitude, so
its ratio is judged by intervals that do not take the seeds for alike (`ratios`). Simulated with 4 to 20 seeds of 2 to 6
runs, normal, heavy-tailed and mixed noise, seeds alike or with log-normal variances (SD of the logarithm 1 and 2), the
same seeds restless in both arms or not:

    one comparison      covers 0.96 to 0.99 at a nominal 0.95
    a list of 15        without any effect, at most 2.3% of lists name a ratio below 1 (`comparisons=15`)
    a true ratio of 0.4 among 15, with 10 seeds of 6 runs: seen in 91% where seeds are alike, 53 to 71% where the same
                        ones are restless in both arms, 4 to 23% where others are

What no interval can know are seeds that were not seen: of a change that calms seven seeds in ten and leaves three as
they are, four seeds show none of the three in 24% of trials, and the interval then is too low: it covers 0.76 to 0.91
with 4 seeds, and 0.90 to 0.99 from 10 on. Look again with fresh seeds before anything is called a remedy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from lastbit.core.errors import LastbitError
from lastbit.core.words import plural
from lastbit.stats._inputs import check_worth, numeric_array, unit_of
from lastbit.stats.arms import spread_of
from lastbit.stats.estimate import Estimate, not_measured
from lastbit.stats.grid import Grid, summarise
from lastbit.stats.means import mean_estimate
from lastbit.stats.ratios import NO_WIDTH, check_comparisons, few_seeds_note, ratio_ends, ratio_estimate
from lastbit.stats.total_ratio import total_ratio

__all__ = ["RemedyEffect", "not_worse", "remedy_effect"]

NO_LAST_BIT = "the base shows no last-bit spread: there is nothing to calm"


@dataclass(frozen=True, kw_only=True)
class RemedyEffect:
    """What a change does to one quantity of a training; n counts the seeds that both arms have.

    Attributes:
        last_bit_ratio: of the SDs over perturbations of one training with one seed; below 1 the change calms.
        fresh_ratio: of the SDs of a fresh run with a fresh seed, which is what a user of the result sees.
        difference: changed minus base, mean of the seeds' means, paired by seed; in the unit of the values.
    """

    last_bit_ratio: Estimate
    fresh_ratio: Estimate
    difference: Estimate


def remedy_effect(base: ArrayLike, changed: ArrayLike, *, level: float = 0.95, comparisons: int = 1) -> RemedyEffect:
    """Return what a change does to the last bit's spread, to that of a fresh run, and to the mean.

    A seed counts where both arms have a run of it, for the last bit's spread where both have two. Of a base without any
    last-bit spread no ratio is measured. A change without any has the ratio 0, and an upper end that allows for as many
    seeds as may have gone unseen in so few. A quantity in steps, as accuracy on few examples, is taken as it is: the
    ratio is that of its SDs with the steps.

    Args:
        base: (S, P) values by seed and perturbation; NaN for a run that does not count.
        changed: (S, P') of the same seeds, in the same order.
        level: confidence level of all comparisons together, of each of the three.
        comparisons: how many changes are compared with the base: each interval is at 1 - (1 - level)/comparisons.

    Raises:
        LastbitError: not grids of numbers with as many seeds, an infinite value, a bad level, or no comparison.

    Example:
        >>> base = [[1.0, 1.4, 0.8], [2.1, 2.9, 2.2], [0.4, 1.1, 0.9], [1.6, 1.5, 2.4]]
        >>> changed = [[1.1, 1.2, 1.1], [2.4, 2.5, 2.4], [0.8, 0.9, 0.7], [1.7, 1.8, 1.6]]
        >>> print(remedy_effect(base, changed).last_bit_ratio)
        0.20 [0.12, 0.32] (n = 4)
    """
    each = check_comparisons(level, comparisons)
    first, second = (
        numeric_array(arm, f"the values of the {name}", 2) for name, arm in (("base", base), ("change", changed))
    )
    if len(first) != len(second):
        raise LastbitError(
            f"the base has {plural(len(first), 'seed')} and the change {len(second)}: give both the same seeds, NaN "
            "where a run is missing"
        )
    unit = max(unit_of(first), unit_of(second))
    runs = np.minimum((~np.isnan(first)).sum(axis=1), (~np.isnan(second)).sum(axis=1))
    if not (runs > 0).any():
        none = not_measured("no seed has a run of both the base and the change")
        return RemedyEffect(last_bit_ratio=none, fresh_ratio=none, difference=none)
    both = [summarise(arm[runs > 0] / unit) for arm in (first, second)]
    apart = (both[1].means - both[0].means) + (both[1].values[0] - both[0].values[0])
    if len(apart) > 1 and not spread_of(apart):
        apart = np.full_like(apart, apart[0])  # rounding alone would make an interval of no width
    return RemedyEffect(
        last_bit_ratio=_last_bit_ratio(both[0], both[1], each),
        fresh_ratio=_fresh_ratio(both[0], both[1], each),
        difference=_unrounded(
            mean_estimate(apart, seeds=np.arange(len(apart)), level=each),
            max(np.nanmax(np.abs(arm)) for arm in (first, second)) / unit,
        ).scaled(unit),
    )


def _unrounded(difference: Estimate, size: float) -> Estimate:
    """Return a difference of two means of about this size; 0 where it is no more than they are rounded by."""
    if difference.estimate is not None and abs(difference.estimate) <= 8 * np.finfo(np.float64).eps * size:
        return replace(difference, estimate=0.0)
    return difference


def not_worse(difference: Estimate, worth: float | None, *, higher_is_better: bool) -> bool | None:
    """Return whether a change loses less than `worth`: True or False where its interval tells, None where it is open.

    Non-inferiority by the interval's worse end, at half of what the interval leaves out: of one at 95%, True is wrong
    in at most 2.5%. False where the whole interval is beyond `worth`.

    Args:
        difference: changed minus base.
        worth: the smallest loss that would matter, positive; None where none was named.
        higher_is_better: False for a loss or an error.

    Raises:
        LastbitError: a `worth` that is not positive.

    Example:
        >>> not_worse(Estimate(-0.05, -0.15, 0.05, 10), 0.2, higher_is_better=True)
        True
        >>> not_worse(Estimate(-0.05, -0.15, 0.05, 10), 0.1, higher_is_better=True) is None
        True
    """
    check_worth(worth)
    ends = (difference.low, difference.high) if higher_is_better else (difference.high, difference.low)
    worse, better = (None if end is None else end if higher_is_better else -end for end in ends)
    if worth is None:
        return None
    if worse is not None and worse >= -worth:
        return True
    return False if better is not None and better < -worth else None


def _last_bit_ratio(base: Grid, changed: Grid, level: float) -> Estimate:
    twins = np.minimum(base.counts, changed.counts) > 1
    seeds = int(twins.sum())
    if not seeds:
        return not_measured("last-bit spread needs two perturbations of one seed in both the base and the change")
    sums = [(arm.squares[twins], (arm.counts[twins] - 1).astype(np.float64)) for arm in (base, changed)]
    if not sums[0][0].any():
        return not_measured(NO_LAST_BIT, seeds)
    squared = ratio_estimate(ratio_ends(sums[0], sums[1], level), seeds, "no two runs of a seed differ")
    ratio, low, high = (
        None if number is None else float(np.sqrt(number)) for number in (squared.estimate, squared.low, squared.high)
    )
    return Estimate(ratio, low, high, seeds, squared.note)


def _fresh_ratio(base: Grid, changed: Grid, level: float) -> Estimate:
    seeds = base.seeds
    if seeds < 2:
        return not_measured(f"the spread of a fresh run needs two seeds, got {seeds}", seeds)
    if not (base.values != base.values[0]).any():
        return not_measured("the base shows no spread at all", seeds)
    squared, reach = total_ratio(*((arm.counts, arm.means, arm.squares) for arm in (base, changed)), level=level)
    with np.errstate(over="ignore"):
        ratio, factor = float(np.sqrt(squared)), float(np.exp(reach / 2))
    if ratio == 0:
        return Estimate(0.0, 0.0, None, seeds, "no two runs of the change differ: the upper end is not measured")
    if seeds < 3:
        return Estimate(ratio, None, None, seeds, f"an interval needs three seeds, got {seeds}")
    if factor <= 1 + NO_WIDTH:
        return Estimate(ratio, None, None, seeds, "no seed says otherwise: no interval is measured")
    if np.isinf(ratio * factor):
        return Estimate(ratio, 0.0, None, seeds, "without one of the seeds there is no spread: the interval is open")
    return Estimate(ratio, ratio / factor, ratio * factor, seeds, few_seeds_note(seeds))
