"""Where a training stands against its limit at the end: the mean of a correlated series over its last third."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lastbit.stats import Estimate, mean_estimate, not_measured

__all__ = ["entered_at", "last_third", "tail_mean"]

Array = np.ndarray[Any, Any]

BATCHES = 10
"""Batches of a tail. Schmeiser (Operations Research 30, 1982) advises 10 to 30; the fewer, the longer and so the more
nearly independent they are."""


def last_third(steps: Array) -> Array:
    """Return which of the steps (S,), at least one and increasing, lie in the last third of their span."""
    late: Array = steps >= steps[-1] - (steps[-1] - steps[0]) / 3
    return late


def tail_mean(steps: Array, values: Array) -> Estimate:
    """Return the mean over the last third of the steps, with an interval from batch means.

    Neighbouring measurements of one training are correlated, so they are no samples. The tail is cut into `BATCHES`
    batches of equal length one after the other, whose means are nearly independent where a batch is longer than the
    correlation; Student's interval over them is given, and `n` counts batches. Source: Law and Kelton, Simulation
    Modeling and Analysis, section 9.5.3.

    Args:
        steps: (S,) increasing.
        values: (S,); values that are not finite are left out.

    Example:
        >>> found = tail_mean(np.arange(300), 1 + 0.1 * np.sin(np.arange(300.0)))
        >>> found.low < 1 < found.high, found.n
        (True, 10)
    """
    if not len(steps):
        return not_measured("nothing was measured")
    tail = values[last_third(steps) & np.isfinite(values)]
    if len(tail) < 2 * BATCHES:
        return not_measured(f"the last third holds {len(tail)} measurements, {2 * BATCHES} are needed", n=len(tail))
    kept = tail[len(tail) % BATCHES :].reshape(BATCHES, -1)
    found = mean_estimate(kept.mean(axis=1))
    note = f"{BATCHES} batches of {kept.shape[1]} measurements, the last third of the training"
    return replace(found, note="the tail is constant: its interval is not measured" if found.low is None else note)


def entered_at(steps: Array, ratio: Array) -> int | None:
    """Return the first measured step at which the sharpness was at its limit or above; None where it never was."""
    above = np.flatnonzero(ratio >= 1)
    return int(steps[above[0]]) if len(above) else None
