"""Numbers in words, each by what it is a number of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lastbit.core.words import part, plural

__all__ = [
    "MISSING",
    "both_ends",
    "certified",
    "chance",
    "change",
    "count",
    "decades",
    "distance",
    "factor",
    "growth_rate",
    "hundredths",
    "margin",
    "number",
    "ordinal",
    "p_value",
    "percent",
    "setting",
    "size",
    "span",
    "step",
    "within",
]

MISSING = "–"
"""What stands for a number that there is none of."""


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


def hundredths(value: float | None, missing: str = MISSING) -> str:
    """Return a number that is not negative to hundredths, from 10 on to whole ones; what is smaller is bounded.

    Example:
        >>> hundredths(0.391), hundredths(2e-9), hundredths(106.2), hundredths(5.4e14), hundredths(None)
        ('0.39', 'under 0.01', '106', '5.4e+14', '–')
    """
    if value is None or value == 0 or value >= 1e4:
        return number(value, 2, missing=missing)
    return count(value) if value >= 10 else "under 0.01" if value < 0.005 else f"{value:.2f}"


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


def both_ends(ends: Sequence[str], known: Sequence[bool]) -> str:
    """Return the two ends of an interval as one text: both, the one that is known, or ""."""
    if all(known):
        return " – ".join(ends)
    return f"from {ends[0]} up" if known[0] else f"up to {ends[1]}" if known[1] else ""


def span(low: float | None, high: float | None, digits: int = 4, unit: str = "") -> str:
    """Return the ends of an interval for a cell; "" where neither is known.

    Example:
        >>> span(0.25, 0.75), span(0.25, None), span(None, None), span(1.0, math.inf)
        ('0.25 – 0.75', 'from 0.25 up', '', '1 – ∞')
    """
    return both_ends([number(end, digits, unit) for end in (low, high)], [low is not None, high is not None])


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
