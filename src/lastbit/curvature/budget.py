"""How often a measurement may be made, so that it takes at most a stated share of training time."""

from __future__ import annotations

import time
from collections.abc import Callable

from lastbit.core.errors import LastbitError

__all__ = ["TimeBudget"]


class TimeBudget:
    """Spends at most `share` of the time that training itself takes, and no more often than every `every` steps.

    A measurement is allowed when the time spent so far and what the next one is expected to cost stay within
    `share` of the training time so far (wall time since `start`, less what was spent). So the interval
    stretches by itself where measuring is expensive, and the share holds at every moment except for forecast errors,
    which later intervals make up for.

    Args:
        every: least number of steps between measurements.
        share: of training time, 0.1 for 10%; None sets no bound.
        clock: seconds, monotonic.

    Raises:
        LastbitError: `every` or `share` is out of range.
    """

    def __init__(self, every: int, share: float | None, clock: Callable[[], float] = time.perf_counter) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise LastbitError(f"every = {every!r}: give the number of steps between measurements, at least 1")
        known = isinstance(share, int | float) and not isinstance(share, bool)
        if share is not None and not (known and 0 < share < float("inf")):
            raise LastbitError(f"budget = {share!r}: give a share of training time such as 0.1, or None for no bound")
        self.every = every
        self.share = share
        self.spent = 0.0
        self.expected = 0.0
        self._clock = clock
        self._begin = clock()
        self._due = every

    def start(self) -> None:
        """Count training time from now: what lies between building a monitor and the first step does not count."""
        self._begin = self._clock() - self.spent

    @property
    def training(self) -> float:
        """Seconds of training so far, measurements left out."""
        return max(self._clock() - self._begin - self.spent, 0.0)

    def allows(self, step: int) -> bool:
        """Say whether step number `step` may be measured."""
        if step < self._due:
            return False
        return self.share is None or self.spent + self.expected <= self.share * self.training

    def charge(self, seconds: float) -> None:
        """Record seconds that were spent on measuring."""
        self.spent += seconds

    def measured(self, step: int, seconds: float) -> None:
        """Record a measurement at `step` and expect the next one to cost the same, or a slow mean if it was cheap."""
        self.charge(seconds)
        self.expected = max(seconds, 0.5 * (self.expected + seconds))
        self._due = step + self.every
