"""Estimates in words: with an interval, and what must be known of them."""

from __future__ import annotations

from dataclasses import dataclass

from lastbit.report.formatting.numbers import both_ends, chance, hundredths, percent, span
from lastbit.stats import Estimate

__all__ = ["Shown", "interval", "reason", "show", "show_chance", "show_ratio"]


@dataclass(frozen=True)
class Shown:
    """An estimate in words: `value` is "not measured" and `interval` empty where there is none.

    Attributes:
        value: the estimate with its unit.
        interval: its ends for a cell, "0.22 – 0.41", "from 0.22 up" where only that end is known; "" where none is.
        n: the number of samples.
        note: what must be known of it, or why it is not measured.
        measured: whether there is an estimate.
    """

    value: str
    interval: str
    n: str
    note: str
    measured: bool

    @property
    def words(self) -> str:
        """The interval in words, "95% interval 0.22 to 0.41" or "95% interval from 0.22 up", or that there is none."""
        return f"95% interval {self.interval.replace(' – ', ' to ')}" if self.interval else "interval not measured"

    def __str__(self) -> str:
        """Return the estimate and its interval for a sentence; the estimate alone where it has none."""
        return f"{self.value} ({self.words})" if self.interval else self.value


def show(estimate: Estimate, unit: str = "", digits: int = 2) -> Shown:
    """Return an estimate in words; the ends of its interval get as many decimals as the estimate.

    With the unit "%" the estimate is a share, rounded as `percent` rounds every share.

    Args:
        estimate: what to show.
        unit: written after the estimate.
        digits: significant digits of the estimate.

    Example:
        >>> str(show(Estimate(0.29, 0.22, 0.41, 36), "points")), str(show(Estimate(0.5, 0.25, 0.75, 9), "%"))
        ('0.29 points (95% interval 0.22 to 0.41)', '50% (95% interval 25% to 75%)')
    """
    if estimate.estimate is None:
        return Shown("not measured", "", str(estimate.n), reason(estimate), False)
    known = [end is not None for end in (estimate.low, estimate.high)]
    if unit == "%":
        text = percent(estimate.estimate)
        ends = [percent(end) for end in (estimate.low, estimate.high)]
    else:
        text, _, rest = estimate.format(digits, unit).partition(" [")
        ends = rest.partition("]")[0].split(", ") if any(known) else ["", ""]
    return Shown(text, both_ends(ends, known), str(estimate.n), estimate.note, True)


def reason(estimate: Estimate) -> str:
    """Return why something is not measured, or what must be known of it."""
    return estimate.note.removeprefix("not measured: ")


def show_chance(estimate: Estimate) -> Shown:
    """Return an estimated chance in words; an interval that lies beyond one end as a whole is that end.

    Example:
        >>> str(show_chance(Estimate(0.93, 0.6, 0.99999, 5))), str(show_chance(Estimate(0.0, 0.0, 1e-9, 5)))
        ('93% (95% interval 60% to over 99%)', 'under 1% (95% interval under 1%)')
    """
    if estimate.estimate is None:
        return show(estimate)
    low, high = chance(estimate.low), chance(estimate.high)
    ends = low if low == high else f"{low} – {high}"
    known = estimate.low is not None and estimate.high is not None
    return Shown(chance(estimate.estimate), ends if known else "", str(estimate.n), estimate.note, True)


def show_ratio(estimate: Estimate) -> Shown:
    """Return a ratio of two positive numbers to hundredths, from 10 on to whole ones; what is smaller is bounded.

    Example:
        >>> str(show_ratio(Estimate(0.391, 0.287, 0.512, 9))), str(show_ratio(Estimate(1e-9, 1e-10, 2e-9, 9)))
        ('0.39 (95% interval 0.29 to 0.51)', 'under 0.01 (95% interval under 0.01)')
    """
    if estimate.estimate is None:
        return show(estimate)
    known = [end is not None for end in (estimate.low, estimate.high)]
    ends = [hundredths(end) for end in (estimate.low, estimate.high)]
    told = ends[0] if all(known) and ends[0] == ends[1] else both_ends(ends, known)
    return Shown(hundredths(estimate.estimate), told, str(estimate.n), estimate.note, True)


def interval(low: float | None, high: float | None, digits: int = 4) -> str:
    """Return an interval for a sentence.

    Example:
        >>> interval(0.25, 0.75), interval(None, None)
        ('95% interval 0.25 to 0.75', 'interval not measured')
    """
    return Shown("", span(low, high, digits), "", "", True).words
