"""How often a measurement may be made, so that it takes at most a stated share of training time."""

from __future__ import annotations

import time
from collections.abc import Callable

from lastbit.core.errors import LastbitError

__all__ = ["TimeBudget"]

FIRST = 10
"""Step of the first measurement at the latest, under a budget. At the very first steps an adaptive optimizer's second
moments are those of one gradient: RMSprop on digits is at 7.4 times its largest stable rate at step 1, and at 1.1 from
step 5 on."""


class TimeBudget:
    """Spends at most `share` of the time that training itself takes, and no more often than every `every` steps.

    The first measurement is made whatever it costs, at step `every` or 10, whichever is earlier, so that a short
    training has one too. Every other one is allowed when the time spent so far and what the next one is expected to
    cost stay within `share` of the training time so far (wall time since `start`, less what was spent). So the interval
    stretches by itself where measuring is expensive, and from the second measurement on the share holds at every moment
    except for forecast errors, which later intervals make up for.

    Args:
        every: least number of steps between measurements.
        share: of training time, 0.1 for 10%; None sets no bound, and measures at every `every`-th step exactly.
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
        self.postponed = 0
        self._measured = False
        self._clock = clock
        self._begin = clock()
        self._due = every if share is None else min(every, FIRST)

    def start(self) -> None:
        """Count training time from now: what lies between building a monitor and the first step does not count."""
        self._begin = self._clock() - self.spent

    def resume(self, step: int) -> None:
        """Go on after step number `step` of a training that was interrupted: due where it would have been."""
        after = self.every - step % self.every
        self._due = step + (after if self.share is None else min(after, FIRST))

    @property
    def training(self) -> float:
        """Seconds of training so far, measurements left out."""
        return max(self._clock() - self._begin - self.spent, 0.0)

    def allows(self, step: int) -> bool:
        """Say whether step number `step` may be measured."""
        if step < self._due:
            return False
        if self.share is None or not self._measured:
            return True
        return self.spent + self.expected <= self.share * self.training

    def passed(self, step: int) -> None:
        """Note that step number `step` was taken and not measured: `postponed` counts the intervals missed that way."""
        if step >= self._due and (step - self._due) % self.every == 0:
            self.postponed += 1

    def charge(self, seconds: float) -> None:
        """Record seconds that were spent on measuring."""
        self.spent += seconds

    def measured(self, step: int, seconds: float) -> None:
        """Record a measurement at `step` and expect the next one to cost the same, or a slow mean if it was cheap."""
        self.charge(seconds)
        self.expected = max(seconds, 0.5 * (self.expected + seconds))
        self._due = step + self.every
        self._measured = True
