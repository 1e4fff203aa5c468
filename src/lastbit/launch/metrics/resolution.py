"""How small a change of a value the way in which it was printed lets through."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lastbit.launch.metrics.printed import significant_digits

__all__ = ["hidden_below"]

_WHOLE_FLOAT64 = 15
"""Significant digits from which a float64 shows every change worth the name: it has 15.95, log10(2^53)."""

_CHANCE = 1e-3
"""Probability with which decimals drawn at random may look like rounded float32 numbers, to be taken for such."""


def hidden_below(printed: Sequence[str], value: float) -> float | None:
    """Return the step between two numbers that are printed as `value` is; None where printing hides nothing.

    With D significant digits the step at v is 10^(floor(log10 abs v) + 1 - D), with d decimals it is 10^-d; the coarser
    of the two is the step of any format that keeps digits, decimals, or both. Nothing is hidden of a float64 printed to
    15 digits, nor of a float32 printed to a step below its ulp: for every text there is a float32 that rounds to it,
    which by chance holds for text after text with probability step/ulp.

    Args:
        printed: every value of the series as it was printed; where trailing zeros are left out, the longest tells.
        value: the one that counts.

    Example:
        >>> hidden_below(["0.5", "0.8978"], 0.8978)
        0.0001
        >>> hidden_below(["0.30000001192093", "0.10000000149012"], 0.30000001192093) is None
        True
    """
    digits = max(map(significant_digits, printed), default=0)
    if not digits or digits >= _WHOLE_FLOAT64 or not math.isfinite(value):
        return None
    step = 10.0 ** -max(_decimals(text) for text in printed if significant_digits(text))
    if value:
        step = max(step, 10.0 ** (math.floor(math.log10(abs(value))) + 1 - digits))
    return None if step <= _ulp(value) and _are_float32(printed) else step


def _decimals(text: str) -> int:
    mantissa, _, exponent = text.replace(",", "").lower().partition("e")
    return len(mantissa.partition(".")[2]) - int(exponent or 0)


def _ulp(value: float) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return abs(float(np.spacing(np.float32(value))))


def _are_float32(printed: Sequence[str]) -> bool:
    chance = 1.0
    for text in printed:
        value, digits = float(text.replace("−", "-").replace(",", "")), significant_digits(text)
        if not digits:
            continue
        with np.errstate(over="ignore"):
            near = float(np.float32(value))
        if float(f"{near:.{digits - 1}e}") != value:
            return False
        chance *= min(1.0, 10.0 ** -_decimals(text) / _ulp(value))
    return chance < _CHANCE
