"""What is stable, in words: limits, factors per step, and the waves that they are of."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lastbit.report.formatting.numbers import number, span

__all__ = ["RATIO", "RATIO_DIGITS", "amplification", "bound", "decay_words", "wave"]

RATIO = "learning rate / largest stable"
"""What the learning rate over the largest stable one is called; above 1 the sharpest direction grows."""

RATIO_DIGITS = 3
"""Significant digits of its mean."""


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
