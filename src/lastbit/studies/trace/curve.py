"""The one curve of a set of twins: their mean distance from the base over the steps, and how localised it grew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["half_of_growth", "mean_distance"]

Array = np.ndarray[Any, Any]


def mean_distance(arrays: Mapping[str, Array]) -> Array:
    """Return the geometric mean over perturbed twins of the L2 distance over all weights (S,), 0 where none differs.

    Twins that do not differ (yet) at a step are left out there. What renormalisation took away is put back.
    """
    d = arrays["all_l2"][1:] * np.exp(arrays["log_removed"][1:])
    positive = d > 0
    with np.errstate(invalid="ignore"):
        logs = np.log(np.where(positive | np.isnan(d), d, 1.0)).sum(axis=0) / np.maximum(positive.sum(axis=0), 1)
    return np.where(positive.any(axis=0) | np.isnan(d).any(axis=0), np.exp(logs), 0.0)


def half_of_growth(arrays: Mapping[str, Array]) -> float | None:
    """Return the share of steps that holds half of all growth, the fastest first: how localised it is in time.

    Median over perturbed twins; growth is that of the running maximum of the distance, on a logarithmic scale, so that
    the scatter about a level does not count; steps count from the first at which the twin differs. Even exponential
    growth all along gives one half.
    """
    shares = []
    for distance, removed in zip(arrays["all_l2"][1:], arrays["log_removed"][1:], strict=True):
        use = np.flatnonzero(np.isfinite(distance) & (distance > 0))
        if len(use) < 3:
            continue
        spans = np.diff(arrays["step"][use]).astype(np.float64)
        gains = np.diff(np.maximum.accumulate(np.log(distance[use]) + removed[use]))
        order = np.argsort(-gains / spans)
        grown, spent = np.cumsum(gains[order]), np.cumsum(spans[order])
        if grown[-1] > 0:
            shares.append(float(np.interp(grown[-1] / 2, np.append(0, grown), np.append(0, spent))) / float(spent[-1]))
    return float(np.median(shares)) if shares else None
