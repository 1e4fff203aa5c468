"""Bootstrap and jackknife over independent units (runs or seeds): the blocks the estimators are built from.

A statistic is given as a function of an index array (B, m): each row names the units of one resample, and the function
returns the B values at once. The same function serves the bootstrap (m = n, with replacement), the jackknife (m = n -
1, one left out) and the estimate itself, so that they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy import stats

from lastbit.core.errors import LastbitError, choose
from lastbit.stats._inputs import Floats, Ints, check_level

__all__ = [
    "bootstrap_interval",
    "jackknife_interval",
    "jackknife_reach",
    "jackknife_se",
    "jackknife_ses",
    "leave_one_out_index",
]

Statistic = Callable[[Ints], Floats]
"""Index array (B, m) to values (B,); NaN where a resample does not define the statistic."""


def leave_one_out_index(n: int) -> Ints:
    """Return the (n, n - 1) index array whose row i names every unit but i."""
    column: Ints = np.arange(n - 1, dtype=np.int64)[None, :]
    row: Ints = np.arange(n, dtype=np.int64)[:, None]
    return column + (column >= row)


def jackknife_se(leave_one_out: Floats) -> float:
    """Return the delete-one jackknife standard error sqrt((n - 1)/n sum_i (theta_(i) - mean)^2).

    Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, equation 11.5.

    Args:
        leave_one_out: shape (n,), the statistic with unit i left out.

    Raises:
        LastbitError: fewer than two units.
    """
    n = len(leave_one_out)
    if n < 2:
        raise LastbitError(f"a jackknife needs at least two units to leave out, got {n}")
    return float(jackknife_ses(leave_one_out))


def jackknife_ses(leave_one_out: Floats) -> Floats:
    """Return `jackknife_se` along the last axis, (..., n) to (...,)."""
    n = leave_one_out.shape[-1]
    spread = leave_one_out - leave_one_out.mean(axis=-1, keepdims=True)
    return np.asarray(np.sqrt((n - 1) / n * np.sum(spread**2, axis=-1)))


def jackknife_reach(leave_one_out: Floats, *, level: float = 0.95) -> float:
    """Return half the length of a jackknife interval, t_{n-1} times the standard error.

    Raises:
        LastbitError: fewer than two units, or a level outside (0, 1).
    """
    check_level(level)
    return float(stats.t.ppf((1 + level) / 2, len(leave_one_out) - 1)) * jackknife_se(leave_one_out)


def jackknife_interval(estimate: float, leave_one_out: Floats, *, level: float = 0.95) -> tuple[float, float]:
    """Return estimate -/+ t_{n-1} times the jackknife standard error.

    For the mean of n units this is Student's interval exactly.

    Raises:
        LastbitError: fewer than two units, or a level outside (0, 1).
    """
    reach = jackknife_reach(leave_one_out, level=level)
    return estimate - reach, estimate + reach


def bootstrap_interval(
    statistic: Statistic,
    n: int,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    method: Literal["bca", "percentile"] = "bca",
) -> tuple[float, float]:
    """Return a bootstrap interval from resampling `n` independent units with replacement.

    `percentile` takes the quantiles of the resampled statistic; `bca` corrects them for bias and skewness by
    Efron (1987), "Better bootstrap confidence intervals", JASA 82, 171-185, with the jackknife acceleration. The units
    must be independent: seeds where runs share a seed. Resamples that leave the statistic undefined (NaN) are left out.

    The interval is a function of the statistic's values and `seed` alone.

    Args:
        statistic: index array (B, m) to values (B,).
        n: how many units there are.
        level: confidence level.
        resamples: how many resamples.
        seed: of the generator of this call.
        method: `"bca"` or `"percentile"`.

    Raises:
        LastbitError: fewer than two units, fewer than 100 resamples, a level outside (0, 1), an unknown method, or a
            statistic that is undefined on the sample itself or on every resample.

    Example:
        >>> values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        >>> low, high = bootstrap_interval(lambda index: values[index].mean(axis=1), 6)
        >>> 1.5 < low < 3.5 < high < 5.5
        True
    """
    check_level(level)
    choose(method, ["bca", "percentile"], "bootstrap method")
    if n < 2:
        raise LastbitError(f"a bootstrap needs at least two units to resample, got {n}")
    if resamples < 100:
        raise LastbitError(f"resamples = {resamples}: a bootstrap interval needs at least 100")
    index: Ints = np.random.default_rng(seed).integers(0, n, (resamples, n))
    values = np.sort(_defined(statistic(index)))
    estimate = float(statistic(np.arange(n, dtype=np.int64)[None, :])[0])
    if not (np.isfinite(estimate) and len(values)):
        raise LastbitError("the statistic to bootstrap is not defined on these samples")
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca" and values[0] < values[-1]:
        tails = _bca_tails(tails, values, estimate, _defined(statistic(leave_one_out_index(n))))
    low, high = np.quantile(values, tails)
    return float(low), float(high)


def _defined(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _bca_tails(tails: Floats, values: Floats, estimate: float, leave_one_out: Floats) -> Floats:
    """Move the two tail probabilities by BCa's bias z0 and acceleration a."""
    below = (np.mean(values < estimate) + np.mean(values <= estimate)) / 2
    # A bias of a whole tail would be infinite: stop half a resample from it.
    edge = 0.5 / len(values)
    bias = stats.norm.ppf(np.clip(below, edge, 1 - edge))
    skew = leave_one_out.mean() - leave_one_out if len(leave_one_out) else np.zeros(1)
    size = np.sum(skew**2)
    acceleration = np.sum(skew**3) / (6 * size**1.5) if size > 0 else 0.0
    z = bias + stats.norm.ppf(tails)
    # Past the pole of z / (1 - a z) the correction changes sign; the extreme quantile is meant there.
    shrink = np.maximum(1 - acceleration * z, 1e-3)
    return np.asarray(stats.norm.cdf(bias + z / shrink), dtype=np.float64)
