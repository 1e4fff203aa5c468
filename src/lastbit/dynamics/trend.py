"""The slope of a noisy curve, with an interval that allows for correlated neighbours, and one curve read on a log axis.

Ordinary least squares on `y = a + b x + e`, with errors `e` taken as a first-order autoregression of correlation `ρ`:

    Var(b) = s² sum_ij z_i ρ^|i-j| z_j / (sum z²)²,    z = x - mean(x),  s² = |residual|² / (n - 2).

`ρ` is the lag-one correlation `r` of the residuals, corrected for the bias that removing a line causes, `E r = ρ - (2 +
4ρ)/n` (Kendall 1954 and Marriott and Pope 1954 for a mean, here for a line), and clipped to 0 … 0.995: negative
correlation would narrow the interval and is not trusted. The quantile is Student's with `n (1 - ρ)/(1 + ρ) - 1.5`
degrees of freedom (at least 1.5), the effective number of independent values.

Measured on first-order autoregressions, how often a 95% interval misses a slope of 0: 5% for `ρ = 0` and 6% for 0.5
from 60 values on; 10%, 8%, 5% for 0.9 and 16%, 13%, 9% for 0.97 with 60, 170, 500 values. The usual Newey-West interval
with its recommended bandwidth misses 29%, 22%, 12% and 50%, 43%, 32% there, which is why it is not used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from lastbit.core.errors import LastbitError

__all__ = ["NO_TREND", "SURE", "TOLERATED_RISE", "Curve", "Trend", "fit_trend", "largest_rise"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

SURE = 0.99
"""Probability of the intervals that decide: a level is mistaken for growth once in 200 times, not once in 40."""

TOLERATED_RISE = 0.1
"""How much a curve may rise over its last third and still count as level, in powers of ten: twins that have become
independent rise by 0.09 there (`log10 sqrt(3/2)`), as slowly as a random walk."""


@dataclass(frozen=True)
class Trend:
    """A slope with its interval.

    Attributes:
        slope: per unit of `x`.
        low: lower end of the interval.
        high: upper end.
        correlation: `ρ` between neighbouring values.
        count: number of values behind it.
    """

    slope: float
    low: float
    high: float
    correlation: float
    count: int

    def grows(self, span: float, tolerated: float) -> bool:
        """Return whether the slope is certain to be positive and rises by more than `tolerated` over `span`."""
        return self.low > 0 and self.slope * span > tolerated


NO_TREND = Trend(np.nan, -np.inf, np.inf, 0.0, 0)
"""What is known about a slope without values."""


def fit_trend(x: ArrayLike, y: ArrayLike, *, level: float = 0.95) -> Trend:
    """Fit a line and return its slope with an interval of probability `level`.

    With fewer than four values the interval is the whole line.

    Args:
        x: positions (n,), not all equal.
        y: finite values (n,).
        level: probability of the interval.

    Raises:
        LastbitError: the arrays do not match, there are fewer than two values, or `level` is not between 0 and 1.

    Example:
        >>> trend = fit_trend(np.arange(100), np.sin(np.arange(100)) + 0.5 * np.arange(100))
        >>> bool(trend.low < 0.5 < trend.high)
        True
    """
    if not 0 < level < 1:
        raise LastbitError(f"level = {level}: write a probability between 0 and 1, such as 0.95")
    at, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if at.ndim != 1 or at.shape != values.shape or at.size < 2 or not np.ptp(at) > 0:
        raise LastbitError(f"a slope needs two places or more with one value each, got {at.shape} and {values.shape}")
    n = at.size
    z = at - at.mean()
    square = float(z @ z)
    slope = float(z @ values) / square
    if n < 4:
        return Trend(slope, -np.inf, np.inf, 0.0, n)
    residual = values - values.mean() - slope * z
    energy = float(residual @ residual)
    # A perfect line leaves rounding only, in which a correlation means nothing.
    exact = energy <= (1e-14 * float(np.abs(values).max() + 1)) ** 2 * n
    raw = 0.0 if exact else float(residual[1:] @ residual[:-1]) / energy
    rho = float(np.clip((raw * n + 2) / (n - 4), 0.0, 0.995)) if n > 4 and not exact else 0.0
    lagged = np.correlate(z, z, mode="full")[n - 1 :]
    inflated = float(lagged[0] + 2 * (rho ** np.arange(1, n)) @ lagged[1:])
    error = float(np.sqrt(energy / (n - 2) * max(inflated, 0.0))) / square
    freedom = max(n * (1 - rho) / (1 + rho) - 1.5, 1.5)
    reach = float(stdtrit(freedom, (1 + level) / 2)) * error
    return Trend(slope, slope - reach, slope + reach, rho, n)


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
