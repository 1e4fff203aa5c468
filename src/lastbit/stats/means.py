"""Means with intervals: of runs, of seeds, of paired runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lastbit.core.errors import LastbitError
from lastbit.stats._inputs import check_level, finite_array, group_index, unit_of
from lastbit.stats.estimate import FEW_SAMPLES, Estimate
from lastbit.stats.resampling import jackknife_interval

__all__ = ["mean_estimate"]


def mean_estimate(values: ArrayLike, *, seeds: ArrayLike | None = None, level: float = 0.95) -> Estimate:
    """Return the mean of runs with Student's interval.

    Runs of one seed are not independent. With `seeds` the interval comes from the delete-one-seed jackknife on S - 1
    degrees of freedom (for equally large seeds: Student's over the seeds' means) and n counts seeds. Where no spread
    was seen there is no interval, rather than one of width 0.

    Args:
        values: (R,) one number per run.
        seeds: (R,) the seed of each run; None where runs are independent.
        level: confidence level.

    Raises:
        LastbitError: no values, a NaN or an infinite one, seeds that do not fit, or a bad level.

    Example:
        >>> print(mean_estimate([97.1, 97.4, 97.2, 96.9]).format(digits=4))
        97.15 [96.82, 97.48] (n = 4)
    """
    check_level(level)
    array = finite_array(values, "the values to average", 1)
    if not len(array):
        raise LastbitError("a mean needs at least one value, got none")
    unit = unit_of(array)
    array = array / unit
    group = np.arange(len(array)) if seeds is None else group_index(seeds, len(array))
    counts = np.bincount(group)
    # Sums about the first value: equal values then give it back to the last bit, and no spread is exactly none.
    sums = np.bincount(group, weights=array - array[0])
    n = len(counts)
    offset = float(sums.sum() / len(array))
    mean = float(array[0]) + offset
    units = "samples" if seeds is None else "seeds"
    leave_one_out = (sums.sum() - sums) / np.maximum(len(array) - counts, 1)
    low: float | None = None
    high: float | None = None
    if n < 2:
        note = f"an interval needs two {units}, got 1"
    elif not np.ptp(leave_one_out) > 0:
        note = f"no spread seen over {n} {units}: the interval is not measured"
    else:
        low, high = (float(array[0]) + end for end in jackknife_interval(offset, leave_one_out, level=level))
        note = f"few {units}: {n}" if n < FEW_SAMPLES else ""
    return Estimate(mean, low, high, n, note).scaled(unit)
