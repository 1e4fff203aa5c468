"""Numbers in words: the only place where a number that a person reads is rounded and given its unit.

One quantity has one rounding everywhere: on the page, in the terminal, in the sentence. What is missing shows as a dash
or in words, never as a number; an infinity is a value ("∞", "any"), never missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lastbit.core.words import capitalised, part, plural
from lastbit.stats import Estimate

RATIO = "learning rate / largest stable"
"""What the learning rate over the largest stable one is called; above 1 the sharpest direction grows."""

__all__ = [
    "MISSING",
    "RATIO",
    "Shown",
    "ago",
    "amplification",
    "bound",
    "capitalised",
    "certified",
    "chance",
    "change",
    "count",
    "decades",
    "decay_words",
    "distance",
    "factor",
    "growth_rate",
    "interval",
    "margin",
    "moment",
    "number",
    "ordinal",
    "p_value",
    "percent",
    "plural",
    "reason",
    "seconds",
    "setting",
    "show",
    "show_chance",
    "size",
    "span",
    "step",
    "wave",
    "within",
]

MISSING = "–"
"""What stands for a number that there is none of."""


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
    return Shown(text, _ends(ends, known), str(estimate.n), estimate.note, True)


def _ends(ends: Sequence[str], known: Sequence[bool]) -> str:
    """Return the two ends of an interval as one text: both, the one that is known, or ""."""
    if all(known):
        return " – ".join(ends)
    return f"from {ends[0]} up" if known[0] else f"up to {ends[1]}" if known[1] else ""


def reason(estimate: Estimate) -> str:
    """Return why something is not measured, or what must be known of it."""
    return estimate.note.removeprefix("not measured: ")


def number(value: float | None, digits: int = 4, unit: str = "", missing: str = MISSING) -> str:
    """Return a number to `digits` significant digits with its unit, or `missing` for None and NaN.

    As a percentage, what is below 100 is never shown as 100.

    Example:
        >>> number(0.123456), number(97.5, unit="%"), number(2.0, unit="points"), number(math.inf), number(None)
        ('0.1235', '97.5%', '2 points', '∞', '–')
    """
    if value is None or math.isnan(value := float(value)):
        return missing
    space = "" if unit in ("", "%") else " "
    if math.isinf(value):
        return f"{'' if value > 0 else '-'}∞{space}{unit}"
    if unit == "%" and 99 < value < 100 and float(f"{value:.{digits}g}") == 100:
        return part(value / 100)
    return f"{value:.{digits}g}{space}{unit}"


def certified(value: float | None, within: float | None, most: int = 4, missing: str = "not resolved") -> str:
    """Return a number to the digits that are certain where the true one lies within `within` of it, `most` at most.

    `missing` stands for a number that has not one; where `within` is None nothing is known of it.

    Example:
        >>> certified(7.6321, 0.005), certified(7.6321, 1e-9), certified(-1.2e-7, 2e-6), certified(0.5, None)
        ('7.63', '7.632', 'not resolved', '0.5')
    """
    if value is None or within is None or not math.isfinite(value) or within == 0:
        return number(value, most, missing=missing)
    known = math.floor(math.log10(abs(value) / within)) if value else 0
    return number(value, min(known, most)) if known >= 1 else missing


def count(value: float | None, missing: str = MISSING) -> str:
    """Return a whole number with its thousands apart.

    Example:
        >>> count(12345), count(2.6), count(None, "never")
        ('12,345', '3', 'never')
    """
    return number(value, missing=missing) if value is None or not math.isfinite(value) else f"{value:,.0f}"


def ordinal(place: int) -> str:
    """Return a place in an order, counted from 1.

    Example:
        >>> [ordinal(n) for n in (1, 2, 3, 4, 11, 22)]
        ['1st', '2nd', '3rd', '4th', '11th', '22nd']
    """
    ending = "th" if place // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{ending}"


def size(count_of_bytes: float) -> str:
    """Return a number of bytes to three digits, in decimal units.

    Example:
        >>> size(1), size(999), size(1_234_567), size(5.6e10)
        ('1 byte', '999 bytes', '1.23 MB', '56 GB')
    """
    if count_of_bytes < 1000:
        return plural(count_of_bytes, "byte")
    power = min(int(math.log10(count_of_bytes) // 3), 5)
    return number(count_of_bytes / 1000**power, 3, ("kB", "MB", "GB", "TB", "PB")[power - 1])


def step(value: float | None, missing: str = "never") -> str:
    """Return an optimizer step.

    Example:
        >>> step(1200), step(None)
        ('step 1,200', 'never')
    """
    return missing if value is None else f"step {count(value)}"


def percent(share: float | None, missing: str = MISSING) -> str:
    """Return a share as a percentage to two significant digits; a part is never shown as the whole or as nothing.

    Example:
        >>> percent(0.9996), percent(1.0), percent(0.093), percent(0.00012), percent(None)
        ('99.96%', '100%', '9.3%', '0.012%', '–')
    """
    if share is None or not math.isfinite(share):
        return number(share, unit="%", missing=missing)
    return part(share)


def chance(share: float | None, missing: str = MISSING) -> str:
    """Return a chance: beyond one in a hundred at either end it is bounded, for a few runs tell nothing of tails.

    Example:
        >>> chance(0.93), chance(2.8e-6), chance(0.99999), chance(1.0), chance(None)
        ('93%', 'under 1%', 'over 99%', 'over 99%', '–')
    """
    if share is not None and share < 0.01:
        return "under 1%"
    return "over 99%" if share is not None and share > 0.99 else percent(share, missing)


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


def p_value(value: float | None, missing: str = MISSING) -> str:
    """Return a p value to two digits, bounded below.

    Example:
        >>> p_value(0.0312), p_value(5e-9), p_value(None)
        ('0.031', 'under 0.0001', '–')
    """
    return "under 0.0001" if value is not None and value < 1e-4 else number(value, 2, missing=missing)


def distance(relative: float | None, missing: str = MISSING) -> str:
    """Return a relative distance: as a percentage from a thousandth on, as a plain number below.

    Example:
        >>> distance(0.0532), distance(6.3e-8), distance(0.0), distance(None, "an unknown share")
        ('5.3%', '6.3e-08', '0%', 'an unknown share')
    """
    small = relative is not None and 0 < relative < 1e-3
    return number(relative, 2) if small else percent(relative, missing)


def change(found: float | None, expected: float | None) -> str:
    """Return by how much of what was expected something differs from it.

    Example:
        >>> change(1.01, 1.0), change(0.5, 1.0), change(None, 1.0)
        ('+1.00%', '-50.00%', '–')
    """
    return MISSING if found is None or expected is None else f"{100 * (found / expected - 1):+.2f}%"


def span(low: float | None, high: float | None, digits: int = 4, unit: str = "") -> str:
    """Return the ends of an interval for a cell; "" where neither is known.

    Example:
        >>> span(0.25, 0.75), span(0.25, None), span(None, None), span(1.0, math.inf)
        ('0.25 – 0.75', 'from 0.25 up', '', '1 – ∞')
    """
    return _ends([number(end, digits, unit) for end in (low, high)], [low is not None, high is not None])


def within(low: float, high: float, digits: int = 4) -> str:
    """Return a positive value that is known to lie between two ends: their middle, or the one end that is known.

    Example:
        >>> within(0.3, 0.5), within(0.0, 0.02), within(20.0, math.inf)
        ('0.4', '≤ 0.02', '≥ 20')
    """
    if low <= 0 or high == math.inf:
        return f"≤ {number(high, digits)}" if low <= 0 else f"≥ {number(low, digits)}"
    return number((low + high) / 2, digits)


def margin(value: float, limit: float) -> str:
    """Return how far a positive value lies from a limit, as a share of the limit.

    Example:
        >>> margin(0.3, 0.5), margin(0.55, 0.5), margin(0.5, 0.5)
        ('40% below', '10% above', 'at')
    """
    share = value / limit - 1
    return "at" if abs(share) < 1e-12 else f"{number(100 * abs(share), 3)}% {'above' if share > 0 else 'below'}"


def amplification(value: float) -> str:
    """Return a factor per step; what differs from 1 by little is shown by its difference.

    Example:
        >>> amplification(1.2), amplification(1.0), amplification(1 + 2.5e-6), amplification(1 - 2.5e-6)
        ('1.2', '1', '1 + 2.5e-06', '1 - 2.5e-06')
    """
    beyond = value - 1
    if abs(beyond) < 1e-12 or abs(beyond) >= 1e-3:
        return number(value)
    return f"1 {'+' if beyond > 0 else '-'} {number(abs(beyond), 3)}"


def wave(frequency: Sequence[float], spacing: float) -> str:
    """Return a wave by its phase per grid point along each axis.

    Example:
        >>> wave((math.pi,), 1.0), wave((math.pi, math.pi / 2), 1.0), wave((0.0,), 1.0)
        ('ω·dx = π', 'ω·dx = (π, 0.5π)', 'ω → 0')
    """
    if not any(frequency):
        return "ω → 0"
    turns = [number(one * spacing / math.pi, 6) for one in frequency]
    shown = ["π" if one == "1" else "0" if one == "0" else f"{one}π" for one in turns]
    return f"ω·dx = {shown[0]}" if len(shown) == 1 else f"ω·dx = ({', '.join(shown)})"


def interval(low: float | None, high: float | None, digits: int = 4) -> str:
    """Return an interval for a sentence.

    Example:
        >>> interval(0.25, 0.75), interval(None, None)
        ('95% interval 0.25 to 0.75', 'interval not measured')
    """
    return Shown("", span(low, high, digits), "", "", True).words


def bound(value: float | None, digits: int = 4, missing: str = "not resolved") -> str:
    """Return the largest value of a positive setting that is stable: "any" where it is unbounded, "none" at 0.

    Example:
        >>> bound(0.25), bound(math.inf), bound(0.0), bound(None)
        ('0.25', 'any', 'none', 'not resolved')
    """
    if value is None or math.isnan(value := float(value)):
        return missing
    return "any" if value == math.inf else "none" if value <= 0 else number(value, digits)


def decay_words(ends: Sequence[float | None] | None, digits: int = 4) -> str:
    """Return an interval of stable weight decays; None stands for groups that differ.

    Example:
        >>> decay_words((0.0, 0.3)), decay_words((0.08, math.inf)), decay_words((0.4, 0.3))
        ('0 – 0.3', 'any from 0.08 up', 'none')
        >>> decay_words((0.0, math.inf)), decay_words((0.0, None)), decay_words(None)
        ('any', 'not resolved', 'differs by group')
    """
    if ends is None:
        return "differs by group"
    low, high = (math.nan if end is None else float(end) for end in ends)
    if math.isnan(low) or math.isnan(high):
        return "not resolved"
    if high < low:
        return "none"
    if high == math.inf:
        return "any" if low <= 0 else f"any from {number(low, digits)} up"
    return span(low, high, digits)


def seconds(value: float | None) -> str:
    """Return a duration: to a tenth of a second below ten, to whole seconds above.

    Example:
        >>> seconds(0.04), seconds(9.96), seconds(1234.5)
        ('0.0 s', '10.0 s', '1,234 s')
    """
    if value is None or not math.isfinite(value):
        return number(value, unit="s")
    return f"{value:.1f} s" if value < 10 else f"{count(value)} s"


def duration(value: float) -> str:
    """Return an expected time in the unit that a person plans in: two digits are as much as is known of it.

    Example:
        >>> duration(42.4), duration(400.0), duration(9000.0), duration(1.02e7)
        ('42 s', '6.7 min', '2.5 h', '118 days')
    """
    units = (("days", 86_400.0, 172_800.0), ("h", 3_600.0, 5_400.0), ("min", 60.0, 120.0))
    for unit, length, from_here_on in units:
        if value >= from_here_on:
            return number(value / length, 2 if value < 100 * length else 3, unit)
    return seconds(value)


def decades(value: float | None) -> str:
    """Return a rise in powers of ten.

    Example:
        >>> decades(6.04), decades(None)
        ('6.0', '–')
    """
    return number(value) if value is None or not math.isfinite(value) else f"{value:.1f}"


def factor(rise: float | None) -> str:
    """Return `exp(rise)`, as a power of ten from four decades on: it may be beyond every float.

    Example:
        >>> factor(0.0), factor(math.log(250)), factor(2000.0)
        ('1', '250', '10^868.6')
    """
    if rise is None or not math.isfinite(rise):
        return number(rise)
    powers = rise / math.log(10)
    return number(10**powers, 3) if powers < 4 else f"10^{decades(powers)}"


def growth_rate(value: float | None) -> str:
    """Return a rate of growth.

    Example:
        >>> growth_rate(0.01234)
        '0.0123 nats per step'
    """
    return number(value, 3, "nats per step")


def setting(value: Any) -> str:
    """Return the value of a setting: every digit of a number, yes and no, a dash for none.

    Example:
        >>> setting(True), setting(0.1), setting(None), setting([64, 32])
        ('yes', '0.1', '–', '64, 32')
    """
    if isinstance(value, list | tuple):
        return ", ".join(map(setting, value))
    return {True: "yes", False: "no", None: MISSING}[value] if value is None or isinstance(value, bool) else str(value)


def ago(value: float) -> str:
    """Return how long ago something was, given the seconds, in the one unit that says most.

    Example:
        >>> ago(20), ago(90), ago(7300), ago(100_000), ago(-5)
        ('now', '1 min ago', '2 h ago', '1 day ago', 'now')
    """
    if value < 60:
        return "now"
    if value < 86400:
        return f"{value // 60:.0f} min ago" if value < 3600 else f"{value // 3600:.0f} h ago"
    return f"{plural(int(value // 86400), 'day')} ago"


def moment(when: datetime) -> str:
    """Return a time to the minute, in UTC.

    Example:
        >>> moment(datetime(2026, 3, 1, 12, 30, 59, tzinfo=UTC))
        '2026-03-01 12:30 UTC'
    """
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
