"""What a comparison of so many seeds could have seen, and how many seeds would settle it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from lastbit.stats.estimate import Estimate, not_measured
from lastbit.stats.noncentral import detectable_noncentrality, t_test_power
from lastbit.stats.welch import Welch, detectable_in_se, seeds_for, welch_equivalence_power, welch_power

__all__ = ["FOR_A_VERDICT", "Design"]

FOR_A_VERDICT = 3
"""With fewer seeds in an arm there is an interval and no verdict: two seeds an arm see nothing below ten SDs."""

_POWER = 0.8


@dataclass(frozen=True)
class Design:
    """How a difference was measured; powers are exact for normal arms that spread alike.

    Attributes:
        n_a: seeds of A.
        n_b: seeds of B.
        paired: whether seed was compared with seed.
        test: the difference with its standard error.
        level: confidence level of the test.
    """

    n_a: int
    n_b: int
    paired: bool
    test: Welch
    level: float

    @property
    def least(self) -> int:
        """Seeds of the smaller arm."""
        return min(self.n_a, self.n_b)

    def smallest_seen(self) -> Estimate:
        """Return the true difference found with 80% power, its interval that of the standard error (chi-square)."""
        if not self.test.se:
            return not_measured("no spread was seen", self.least)
        if self.paired or self.least == 1:
            reach = detectable_noncentrality(self.test.df, power=_POWER, level=self.level)
        else:
            reach = detectable_in_se(self.n_a, self.n_b, power=_POWER, level=self.level)
        low, high = self._errors()
        note = f"few seeds: {self.least}" if self.least < FOR_A_VERDICT else ""
        return Estimate(reach * self.test.se, reach * low, reach * high, self.least, note)

    def seeds_to_settle(self) -> Estimate:
        """Return the seeds of each arm that find the observed difference with 80% power, were it the true one."""
        if not self.test.difference:
            return not_measured("no difference was seen", self.least)
        return self._seeds(abs(self.test.difference), self._power)

    def seeds_for_worth(self, worth: float) -> Estimate:
        """Return the seeds of each arm that show with 80% power that a difference of 0 is below `worth`."""
        return self._seeds(worth, self._equivalence_power)

    def _errors(self) -> tuple[float, float]:
        """The ends of the interval of the standard error: that of an SD on its degrees of freedom."""
        tails = stats.chi2.ppf([(1 + self.level) / 2, (1 - self.level) / 2], self.test.df)
        low, high = self.test.se * np.sqrt(self.test.df / tails)
        return float(low), float(high)

    def _seeds(self, difference: float, power: Callable[[float, int], float]) -> Estimate:
        if not self.test.se:
            return not_measured("no spread was seen", self.least)

        def needed(se: float) -> float | None:
            # The standard error of n seeds each, from that of the seeds there are.
            of_one = se if self.paired else se / math.sqrt(1 / self.n_a + 1 / self.n_b)
            scale = math.sqrt(self.n_a) * of_one if self.paired else math.sqrt(2) * of_one
            found = seeds_for(lambda n: power(difference * math.sqrt(n) / scale, n), power=_POWER, least=FOR_A_VERDICT)
            return None if found is None else float(found)

        low, high = self._errors()
        estimate = needed(self.test.se)
        if estimate is None:
            return not_measured("more than 1,000,000 seeds", self.least)
        return Estimate(estimate, needed(low), needed(high), self.least)

    def _power(self, noncentrality: float, n: int) -> float:
        if self.paired:
            return t_test_power(noncentrality, n - 1.0, self.level)
        return welch_power(noncentrality, n, n, self.level)

    def _equivalence_power(self, reach: float, n: int) -> float:
        if not self.paired:
            return welch_equivalence_power(reach, n, n, self.level)
        spread = np.sqrt(stats.chi2.ppf((np.arange(200) + 0.5) / 200, n - 1) / (n - 1))
        room = reach - float(stats.t.ppf(self.level, n - 1)) * spread
        return float((2 * special.ndtr(np.maximum(room, 0)) - 1).mean())
