"""Reading one curve of distances on a log axis: its largest rise, the phase of growth, the last third."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lastbit.dynamics.trend import NO_TREND, Trend, fit_trend

__all__ = ["Curve", "largest_rise"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Curve:
    """Distances at the steps where they are positive and finite.

    Attributes:
        t: steps since the start of the run, increasing.
        y: natural logarithms of the distances.
        floor: a distance below which growth is not counted; 0 counts all.
        start: the step that `t` is counted from.
    """

    t: Floats
    y: Floats
    floor: float = 0.0
    start: int = 0

    @property
    def counted(self) -> Floats:
        """`y`, raised to the floor where it lies below."""
        return self.y if self.floor == 0 else np.maximum(self.y, math.log(self.floor))

    @property
    def span(self) -> float:
        """Steps from the start of the run to the last one."""
        return float(self.t[-1])

    @property
    def late(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which values belong to the last third of the run."""
        return np.asarray(self.t >= 2 / 3 * self.span)

    @property
    def rise(self) -> float:
        """The largest `y_t - min_{s <= t} y_s` that counts, nats."""
        y = self.counted
        low, high = largest_rise(y)
        return float(y[high] - y[low])

    def phase(self) -> slice:
        """Return where the curve passes from 10% to 90% of its rise.

        The rise is taken up to the median of the last third where that is lower than the peak: a level's own scatter
        is not growth.
        """
        y = self.counted
        low, high = largest_rise(y)
        top = float(y[high])
        if self.late.any():
            level = float(np.median(y[self.late]))
            top = level if y[low] < level < top else top
        stretch = (y[low : high + 1] - y[low]) / max(top - float(y[low]), 1e-300)
        first, final = int(np.argmax(stretch >= 0.1)), int(np.argmax(stretch >= 0.9))
        return slice(low + max(first - 1, 0), low + final + 1)

    def growth(self) -> Trend:
        """Return the growth rate in that phase, nats per step."""
        phase = self.phase()
        return fit_trend(self.t[phase], self.counted[phase]) if phase.stop - phase.start > 1 else NO_TREND

    def exponent(self) -> float:
        """Return `d ln d / d ln t` there: 1/2 for random rounding, 1 for biased rounding, more for amplification."""
        phase = self.phase()
        if phase.stop - phase.start < 2:
            return 0.0
        t, y = np.maximum(self.t[phase], 1.0), self.counted[phase]
        return float((y[-1] - y[0]) / np.log(t[-1] / t[0])) if t[-1] > t[0] else math.inf

    def reached(self, level: float) -> float:
        """Return the first step, from the low of the largest rise on, at which the distance is `level` or more."""
        y = self.counted
        low, _ = largest_rise(y)
        return float(self.t[low + int(np.argmax(y[low:] >= math.log(level)))])


def largest_rise(y: Floats) -> tuple[int, int]:
    """Return the indices between which `y` rises most; of equal lows the last, because growth starts there."""
    high = int(np.argmax(y - np.minimum.accumulate(y)))
    return high - int(np.argmin(y[: high + 1][::-1])), high
