"""Times and durations in words."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from lastbit.core.words import plural
from lastbit.report.formatting.numbers import count, number

__all__ = ["ago", "duration", "moment", "seconds"]


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
