"""How many times as large the spread of a fresh run is in one arm as in another that has the same seeds.

    R^2 = sigma_total^2(changed)/sigma_total^2(base)

The interval of log R^2 is the wider of two. The jackknife's over S seeds takes nothing for normal, but falls to 0.93
where the seeds make most of the variance and both arms share what they do. That of Pitman (1939, Biometrika 31, 9-12)
and Morgan (1939, ibid., 13-19), exact for two correlated variances of normal values,

    log R^2 ∓ arccosh(K),   K = 1 + 2 (1 - r^2) t^2/(f - 1),   t Student's with f - 1 degrees of freedom

is carried over to the sum of two mean squares: f by Satterthwaite, of the arm that has fewer, r the covariance of the
seeds' means over the root of both total variances. It falls to 0.3 where seeds differ in their last bit's spread.

Simulated with 4 to 20 seeds of 2 and 6 runs, seed effects 0 to 3 times the last bit's, correlated 0 to 0.9: the wider
one covers 0.96 to 1.00 of the time at a nominal 0.95 under normal noise, 0.94 to 1.00 under t4 and where the last bit's
variance is log-normal over seeds (SD of the logarithm 1); where that SD is 2, the last bit is all there is, and other
seeds are restless in each arm, 0.90.

Axes: S seeds, the last; whatever comes before are simulated repetitions.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from lastbit.stats._inputs import Floats, Ints
from lastbit.stats.mean_squares import satterthwaite_df
from lastbit.stats.one_way import OneWay, one_way
from lastbit.stats.resampling import jackknife_ses, leave_one_out_index

__all__ = ["total_ratio"]

Layout = tuple[Ints, Floats, Floats]
"""Counts, means and sums of squares about them of each seed, all (..., S)."""


def total_ratio(base: Layout, changed: Layout, *, level: float) -> tuple[Floats, Floats]:
    """Return R^2 and how far its interval reaches to either side of log R^2, both (...,).

    The reach is infinite with fewer than three seeds, and where without one of the seeds an arm has no spread left.

    Args:
        base: of the seeds that both arms have; a run of each.
        changed: likewise, in the same order.
        level: confidence level.
    """
    seeds = base[0].shape[-1]
    arms = one_way(*base), one_way(*changed)
    totals = [_total(arm) for arm in arms]
    with np.errstate(divide="ignore", invalid="ignore"):
        squared = totals[1] / totals[0]
        if seeds < 3:
            return squared, np.full(np.shape(squared), np.inf)
        without = leave_one_out_index(seeds)
        left = [_total(one_way(n[..., without], m[..., without], q[..., without])) for n, m, q in (base, changed)]
        jackknife = float(stats.t.ppf((1 + level) / 2, seeds - 1)) * jackknife_ses(np.log(left[1] / left[0]))
        apart = [arm[1] - arm[1].mean(axis=-1, keepdims=True) for arm in (base, changed)]
        r = (apart[0] * apart[1]).sum(axis=-1) / (seeds - 1) / np.sqrt(totals[0] * totals[1])
        df = np.minimum(_df(arms[0]), _df(arms[1])) - 1
        k = 1 + 2 * (1 - np.minimum(r**2, 1.0)) * stats.t.ppf((1 + level) / 2, df) ** 2 / df
        reach = np.maximum(jackknife, np.arccosh(k))
    return squared, np.where(np.isnan(reach), np.inf, reach)


def _total(layout: OneWay) -> Floats:
    """The variance of a fresh run; that of the only runs where every seed has one."""
    return np.where(np.isnan(layout.msw), layout.msu, layout.total_variance)


def _df(layout: OneWay) -> Floats:
    """Satterthwaite's degrees of freedom of the total variance."""
    between, within = 1 / layout.n0, np.asarray(layout.runs - layout.seeds, dtype=np.float64)
    df = np.full(within.shape, layout.seeds - 1.0)
    found = satterthwaite_df((layout.msb, layout.msw), (df, within), (between, 1 - between))
    return np.where(np.isnan(layout.msw), df, found)
