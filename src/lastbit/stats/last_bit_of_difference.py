"""What the last bit alone could have done to the difference of two arms.

Runs of one seed differ by the last bit only, with the variance p^2. Of it the difference D of the arms' means holds

    v_P = p^2 (1/M_A + 1/M_B),   1/M_X = (sum over the seeds of X of 1/runs)/n_X^2:  M_X runs where seeds have as many

A rerun with the same seeds and another last bit gives another D, 2 v_P away in variance. D ± t sqrt(2 v_P) holds it at
the wanted confidence, and the last bit alone can flip the sign exactly when that holds 0. Simulated, "cannot flip" is
wrong at most 0.9% of the time, and a rerun falls outside in 5.4% under normal noise and 6.4% under t4 and log-normal. A
single probability of flipping cannot be calibrated, and none is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from numpy.typing import ArrayLike
from scipy import stats

from lastbit.core.errors import LastbitError
from lastbit.stats._inputs import check_level
from lastbit.stats.arms import Arm, read_arms
from lastbit.stats.estimate import Estimate, not_measured
from lastbit.stats.two_arms import compare_arms

__all__ = ["LastBitOfDifference", "last_bit_in_difference"]


@dataclass(frozen=True)
class LastBitOfDifference:
    """What of a difference the last bit explains; nothing is measured where no seed has two runs and no SD is given.

    Attributes:
        variance_share: v_P over the variance of D over trainings, between 0 and 1.
        rerun: D with the interval that a rerun with the same seeds falls into.
        can_flip: whether that interval holds 0; None where it is not measured.
        sigma_last_bit: the SD p that this rests on.
    """

    variance_share: Estimate
    rerun: Estimate
    can_flip: bool | None
    sigma_last_bit: Estimate


def last_bit_in_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    seeds_a: ArrayLike | None,
    seeds_b: ArrayLike | None,
    sigma_last_bit: Estimate | None = None,
    paired: bool = False,
    level: float = 0.95,
) -> LastBitOfDifference:
    """Return the last bit's share in the difference of two arms, and whether it alone can flip its sign.

    Args:
        a: (R_A,) one number per run of A.
        b: (R_B,) one number per run of B.
        seeds_a: (R_A,) the seed of each run; None where every run has a seed of its own.
        seeds_b: (R_B,) likewise.
        sigma_last_bit: p with its degrees of freedom, of another study; None to take it from seeds with several runs,
            pooled over both arms.
        paired: whether the arms are compared within their common seeds.
        level: confidence level.

    Raises:
        LastbitError: what `compare_arms` refuses, or a `sigma_last_bit` without degrees of freedom.

    Example:
        >>> runs, seeds = [97.1, 97.2, 97.4, 97.5], [0, 0, 1, 1]
        >>> found = last_bit_in_difference(runs, [98.0, 98.1, 98.6, 98.5], seeds_a=seeds, seeds_b=seeds)
        >>> found.rerun.format(), found.can_flip
        ('1.00 [0.80, 1.20] (n = 8)', False)
    """
    check_level(level)
    compared = compare_arms(a, b, seeds_a=seeds_a, seeds_b=seeds_b, paired=paired, level=level)
    given = read_arms((a, b), (seeds_a, seeds_b), ("arm A", "arm B"))
    first, second = given.arms
    if paired:
        first, second = first.common(second)
    sigma = sigma_last_bit or _pooled(first, second, level).scaled(given.unit)
    if not sigma.estimate:
        why = "no last-bit spread was seen, and how large an unseen one may be is not known"
        if sigma.estimate is None:
            why = "every seed has one run, and no last-bit spread is known otherwise"
        nothing = not_measured(why, sigma.n)
        return LastBitOfDifference(nothing, nothing, None, sigma)
    df = sigma.df if sigma.df is not None else float(sigma.n - 1)
    if not df > 0:
        raise LastbitError("sigma_last_bit needs degrees of freedom: give an Estimate with df, or with n above 1")
    spread = sigma.estimate * math.sqrt(first.per_run + second.per_run)
    difference, apart = compared.difference, compared.difference.estimate or 0.0
    reach = float(stats.t.ppf((1 + level) / 2, df)) * math.sqrt(2) * spread
    rerun = Estimate(apart, apart - reach, apart + reach, sigma.n, "", df)
    can_flip = abs(apart) <= reach
    return LastBitOfDifference(_share(difference, spread, df, sigma.n, level), rerun, can_flip, sigma)


def _pooled(a: Arm, b: Arm, level: float) -> Estimate:
    """The SD of runs within their seed, over both arms, with its chi-square interval."""
    runs = int(a.runs.sum() + b.runs.sum())
    df = runs - a.n - b.n
    if not df:
        return not_measured("no seed has two runs", runs)
    sigma = math.sqrt(float(a.squares.sum() + b.squares.sum()) / df)
    if not sigma:
        return Estimate(0.0, 0.0, None, runs, "no spread seen over the runs of any seed", float(df))
    low, high = (sigma * math.sqrt(df / float(stats.chi2.ppf(tail, df))) for tail in ((1 + level) / 2, (1 - level) / 2))
    return Estimate(sigma, low, high, runs, "", float(df))


def _share(difference: Estimate, spread: float, df: float, n: int, level: float) -> Estimate:
    """v_P over the squared standard error; the interval is that of a ratio of two mean squares (F), cut at 1."""
    if difference.high is None or difference.estimate is None or difference.df is None:
        return not_measured("no spread of the difference was seen", n)
    edge = float(stats.t.ppf((1 + level) / 2, difference.df))
    ratio = (spread * edge / (difference.high - difference.estimate)) ** 2
    tails = (1 + level) / 2, (1 - level) / 2
    low, high = (min(ratio / float(stats.f.ppf(tail, df, difference.df)), 1.0) for tail in tails)
    note = "the seeds' means lie closer together than the last bit alone explains" if ratio > 1 else ""
    return Estimate(min(ratio, 1.0), low, high, n, note)
