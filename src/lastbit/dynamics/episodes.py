"""Growth episodes: in which steps a difference grew, as distinct from noise.

Let `y_s = ln d_s` be the logarithm of a distance at the recorded steps `s` where it is neither 0 nor infinite. An
episode is a maximal stretch from a low to a later high of `y` such that `y` rises by more than `h` and never falls back
by `h` or more on the way: growth at logarithmic scale, with dips below the noise level `h` passed over. Episodes do not
overlap; between two of them `y` falls by at least `h`. Of equal lows the last counts, of equal highs the first.

Noise level. Neighbouring values scatter about the trend with a standard deviation `σ`, estimated from second
differences `y_{i-1} - 2 y_i + y_{i+1}` (a trend that is locally straight drops out, the variance is `6 σ²`) by their
median absolute value, which ignores the few that are large: `σ = 1.4826 median|Δ²y| / sqrt(6)`. Of `n` independent
Gaussian values the largest deviates by more than `σ sqrt(2 ln(2n/p))` with probability at most `p` (union bound), so
the range of pure noise passes

    h = 2 σ sqrt(2 ln(2n/p))

with probability at most `p = 0.05`: that is the level, and at least `floor` (0.1: growth by less than 10% is not an
episode). On unevenly thinned steps each value is compared with the straight line through its two neighbours, whatever
their spacing.

Shares. The growth of a stretch is the sum of its positive increments of `y`, so that shares of episodes add up to at
most 1, and the rest grew within the noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lastbit.core.errors import LastbitError

__all__ = ["Episode", "Episodes", "growth_episodes", "noise_level"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Episode:
    """One stretch of growth.

    Attributes:
        start: the recorded step of the low.
        end: the recorded step of the high.
        rise: `y` at the end minus `y` at the start, nats.
        rate: `rise` per step, nats.
        share: of all growth of the run, 0 … 1.
    """

    start: int
    end: int
    rise: float
    rate: float
    share: float


@dataclass(frozen=True)
class Episodes:
    """All episodes of a run.

    Attributes:
        episodes: in order of steps.
        noise: the level `h`, nats.
        share: of all growth that occurs in the episodes.
        share_of_steps: how much of the run (from the first difference on) they take up.
    """

    episodes: tuple[Episode, ...]
    noise: float
    share: float
    share_of_steps: float


def noise_level(steps: ArrayLike, log_distance: ArrayLike, *, p: float = 0.05) -> float:
    """Return `h`, the range that noise alone passes with probability `p` at most; 0 for fewer than three values.

    Raises:
        LastbitError: `p` is not between 0 and 1.
    """
    if not 0 < p < 1:
        raise LastbitError(f"p = {p}: write a probability between 0 and 1, such as 0.05")
    s, y = np.asarray(steps, dtype=np.float64), np.asarray(log_distance, dtype=np.float64)
    if y.size < 3:
        return 0.0
    left, right = np.diff(s)[:-1], np.diff(s)[1:]
    # The value in the middle against the straight line through its neighbours; 6 σ² is its variance on an even grid.
    weight = right / (left + right)
    residual = y[1:-1] - weight * y[:-2] - (1 - weight) * y[2:]
    scale = np.sqrt(1 + weight**2 + (1 - weight) ** 2)
    sigma = 1.4826 * float(np.median(np.abs(residual) / scale))
    return 2 * sigma * float(np.sqrt(2 * np.log(2 * y.size / p)))


def growth_episodes(
    steps: ArrayLike, distance: ArrayLike, *, p: float = 0.05, floor: float = 0.1, noise: float | None = None
) -> Episodes:
    """Find the growth episodes of one distance curve.

    Args:
        steps: recorded steps (S,), increasing.
        distance: distances (S,) at them; 0 (not apart yet, or again) and non-finite values are left out.
        p: largest probability that pure noise produces an episode.
        floor: the smallest rise that counts, nats.
        noise: the level `h`, where it is known otherwise.

    Raises:
        LastbitError: the arrays do not match, steps do not increase, or a distance is negative.

    Example:
        >>> steps = np.arange(300)
        >>> found = growth_episodes(steps, np.exp(np.clip(0.1 * (steps - 100), 0, 10)))
        >>> [(e.start, e.end, round(e.rate, 3)) for e in found.episodes]
        [(100, 200, 0.1)]
    """
    s, d = np.asarray(steps, dtype=np.float64), np.asarray(distance, dtype=np.float64)
    if s.ndim != 1 or s.shape != d.shape:
        raise LastbitError(f"one distance per step is needed, got shapes {s.shape} and {d.shape}")
    if np.any(np.diff(s) <= 0):
        raise LastbitError("steps must increase: sort them first")
    if np.any(d < 0):
        raise LastbitError("a distance is negative: pass norms, not differences")
    usable = np.isfinite(d) & (d > 0)
    s, y = s[usable], np.log(d[usable])
    level = max(floor, noise_level(s, y, p=p) if noise is None else noise)
    gains = np.maximum(np.diff(y), 0.0)
    total = float(gains.sum())
    found = []
    for low, high in _ascents(y, level):
        rise = float(y[high] - y[low])
        share = float(gains[low:high].sum()) / total
        found.append(Episode(int(s[low]), int(s[high]), rise, rise / float(s[high] - s[low]), share))
    span = float(s[-1] - s[0]) if s.size > 1 else 0.0
    covered = sum(e.end - e.start for e in found)
    return Episodes(tuple(found), level, sum(e.share for e in found), covered / span if span else 0.0)


def _ascents(y: Floats, level: float) -> list[tuple[int, int]]:
    """Return the (low, high) index pairs of all maximal rises above `level`, by one pass over the turning points."""
    found = []
    low = high = 0
    for i in range(1, y.size):
        if high > low and y[high] - y[i] >= level and y[high] - y[low] > level:
            # Fallen back by the level after a rise above it: the rise is complete.
            found.append((low, high))
            low = high = i
        elif y[i] <= y[low]:
            low = high = i
        elif y[i] > y[high]:
            high = i
    if high > low and y[high] - y[low] > level:
        found.append((low, high))
    return found
