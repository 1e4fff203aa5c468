"""What several rules share: thresholds that were foretold, and brackets in which they were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lastbit.stats import Estimate, proportion_estimate

__all__ = ["Bracket", "agreement", "most"]

_OF_A_BISECTION = "the interval is the bracket of a bisection"


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """A threshold foretold, and the bracket in which it was found.

    Attributes:
        what: of what it is the threshold.
        foretold: by the theory.
        low: the largest value found on the near side.
        high: the smallest found beyond.
        scale: what deviations are relative to, where it is not the foretold value, which may be zero.
    """

    what: str
    foretold: float
    low: float
    high: float
    scale: float | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """By how much each end exceeds what was foretold, relative to its size or to `scale`."""
        scale = abs(self.foretold) if self.scale is None else self.scale
        return (self.low - self.foretold) / scale, (self.high - self.foretold) / scale

    @property
    def deviation(self) -> Estimate:
        """Found over foretold, less 1; the interval is the bracket's, which is certain."""
        low, high = self.ends
        return Estimate((low + high) / 2, low, high, 1, _OF_A_BISECTION)

    @property
    def located(self) -> Estimate:
        """Where it was found; the interval is the bracket's, which is certain."""
        return Estimate((self.low + self.high) / 2, self.low, self.high, 1, _OF_A_BISECTION)

    def agrees(self, tolerance: float) -> bool | None:
        """Whether the bracket lies within `tolerance` of what was foretold; None where it lies partly outside."""
        ends = self.ends
        if max(map(abs, ends)) <= tolerance:
            return True
        return False if ends[0] > tolerance or ends[1] < -tolerance else None


def agreement(brackets: Sequence[Bracket], tolerance: float) -> tuple[bool | None, Bracket | None]:
    """Return whether all agree, none can be told to differ, or one differs; and the bracket that decides.

    Args:
        brackets: at least one, else nothing is told.
        tolerance: relative.

    Returns:
        True with the one that deviates most; False with the first that differs; None with one that cannot tell.
    """
    said = [(one.agrees(tolerance), one) for one in brackets]
    for answer in (False, None):
        for agrees, one in said:
            if agrees is answer:
                return answer, one
    if not said:
        return None, None
    return True, max(brackets, key=lambda one: max(map(abs, one.ends)))


def most(count: int, n: int) -> tuple[bool | None, Estimate]:
    """Return whether something happens more often than not, by how often it did; None where that cannot be told.

    Either end of the exact interval is missed by one in twenty, so 5 of 5 tell, and 7 of 8, but not 4 of 4.

    Returns:
        The answer, and the chance that it happens once more with its 90% interval.
    """
    chance = proportion_estimate(count, n, level=0.9)
    if chance.low is not None and chance.low > 0.5:
        return True, chance
    return (False if chance.high is not None and chance.high < 0.5 else None), chance
