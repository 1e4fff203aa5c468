"""Numbers as a reader wants them: the estimate, its interval, n, and what must be known about them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lastbit.stats import Estimate

__all__ = ["Shown", "capitalised", "number", "percent", "show"]


@dataclass(frozen=True)
class Shown:
    """An estimate in words: `value` is "not measured" and `interval` empty where there is none."""

    value: str
    interval: str
    n: str
    note: str
    measured: bool


def show(value: Mapping[str, Any], unit: str = "", scale: float = 1.0) -> Shown:
    """Return an estimate of `result.json` in words.

    Args:
        value: `{estimate, low, high, n, df, note}`.
        unit: written after the estimate.
        scale: factor from the stored unit to the shown one (100 from shares to percent).

    Raises:
        LastbitError: the numbers are no estimate (not finite, or outside of their interval).
    """
    estimate = Estimate(value["estimate"], value["low"], value["high"], value["n"], value["note"], value["df"])
    if estimate.estimate is None:
        return Shown("not measured", "", str(estimate.n), estimate.note.removeprefix("not measured: "), False)
    text, _, rest = estimate.scaled(scale).format(2, unit).partition(" [")
    interval = rest.partition("]")[0]
    interval = "" if interval == "interval not measured" else interval.replace(", ", " – ")
    if interval and unit == "%":
        interval += "%"
    return Shown(text, interval, str(estimate.n), estimate.note, True)


def number(value: float | None, digits: int = 4, unit: str = "") -> str:
    """Return a number to `digits` significant digits; a dash where there is none or it is not finite."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}g}{unit}"


def percent(share: float) -> str:
    """Return a share as a percentage to two significant digits, never rounding a part up to the whole or down to 0.

    Example:
        >>> percent(0.9996), percent(1.0), percent(0.093), percent(0.00012)
        ('99.96%', '100%', '9.3%', '0.012%')
    """
    if 0.995 <= share < 1:
        return f"{min(100 * share, 99.99):.2f}%"
    return f"{100 * share:.3g}%" if share >= 0.1 else f"{100 * share:.2g}%"


def capitalised(text: str) -> str:
    """Return the text with its first letter large."""
    return text[:1].upper() + text[1:]
