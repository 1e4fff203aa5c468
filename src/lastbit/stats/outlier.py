"""One value that accounts for most of a variance: a mean square cannot tell it from many that spread a little."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from lastbit.core.words import part
from lastbit.stats._inputs import Floats, Ints

__all__ = ["outlier_note"]

_SHARE, _CHANCE = 0.5, 1e-3
"""An outlier makes more than this share of the sum of squares, and is less likely than this among normal values."""


def outlier_note(values: Floats, groups: Ints, what: str, *, step: float = 0.0, unit: float = 1.0) -> str:
    """Return the remark that one value accounts for most of the variance within groups; "" where none does.

    Leaving a value out that is d from the mean of its group of n takes d^2 n/(n - 1) off the sum of squares; its ratio
    to the mean square that is left is distributed as F with 1 and df - 1 degrees of freedom, judged by Bonferroni over
    all values. Source: Cook and Weisberg (1982), Residuals and Influence in Regression, section 2.2 (the deleted
    Studentised residual, squared).

    Args:
        values: (N,) the values.
        groups: (N,) the group of each, from 0 without gaps.
        what: what a value belongs to, in words ("the run with value").
        step: what the values move in; half of it counts as their least spread, so that one step is no outlier.
        unit: what the values and the spread are multiplied by where they are named.
    """
    counts = np.bincount(groups)
    df = len(values) - len(counts)
    if df < 2:
        return ""
    size = counts[groups]
    apart = values - (np.bincount(groups, values) / counts)[groups]
    removed = np.divide(apart**2 * size, size - 1, out=np.zeros(len(values)), where=size > 1)
    total, worst = float((apart**2).sum()), int(removed.argmax())
    left = max(total - float(removed[worst]), 0.0) / (df - 1)
    if not removed[worst] > _SHARE * total:
        return ""
    least = max(left, (step / 2) ** 2)
    if least and len(values) * stats.f.sf(removed[worst] / least, 1, df - 1) >= _CHANCE:
        return ""
    return (
        f"one outlier, {what} {values[worst] * unit:.4g}, accounts for {part(removed[worst] / total)} of this "
        f"variance: without it the SD is {math.sqrt(left) * unit:.2g}"
    )
