"""The checks at the edge that the estimators share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lastbit.core.errors import LastbitError
from lastbit.core.words import plural

__all__ = ["Floats", "Ints", "check_level", "check_worth", "finite_array", "group_index", "numeric_array", "unit_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def check_level(level: float) -> None:
    """Refuse a confidence level outside (0, 1)."""
    if not 0 < level < 1:
        hint = f", write {level / 100:g}" if 1 < level < 100 else ""
        raise LastbitError(f"level = {level}: a confidence level lies between 0 and 1{hint}")


def check_worth(worth: float | None, level: float = 0.95) -> None:
    """Refuse a smallest difference that matters which is not positive, or for which `level` leaves no test."""
    if worth is None:
        return
    if not (math.isfinite(worth) and worth > 0):
        raise LastbitError(f"worth = {worth}: name the smallest difference that matters as a positive number")
    if level <= 0.5:
        raise LastbitError(f"level = {level}: two one-sided tests need a level above 0.5")


def numeric_array(values: ArrayLike, what: str, ndim: int) -> Floats:
    """Return `values` as float64 with `ndim` axes, NaN allowed and infinities refused."""
    try:
        array: Floats = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise LastbitError(f"{what} must be numbers in one rectangular array, got {type(values).__name__}") from None
    if array.ndim != ndim:
        raise LastbitError(f"{what} must have {ndim} axes, got shape {array.shape}")
    if np.isinf(array).any():
        raise LastbitError(
            f"{what} hold an infinite number: leave a diverged run out, or write NaN where it is missing"
        )
    return array


def finite_array(values: ArrayLike, what: str, ndim: int) -> Floats:
    """Return `values` as float64 with `ndim` axes, all finite."""
    array = numeric_array(values, what, ndim)
    if np.isnan(array).any():
        raise LastbitError(f"{what} hold a NaN: leave the runs that did not finish out")
    return array


def unit_of(values: Floats) -> float:
    """Return a power of two near the largest of `values`, NaN left out: in this unit no square over- or underflows.

    Dividing by it changes no digit, so that a result in this unit, multiplied by it, is the result.
    """
    largest = float(np.max(np.abs(values), initial=0.0, where=~np.isnan(values)))
    return math.ldexp(1.0, min(max(math.frexp(largest)[1], -1000), 1000)) if largest else 1.0


def group_index(groups: ArrayLike, n: int, what: str = "seeds") -> Ints:
    """Return for each run the place of its group among the sorted distinct groups."""
    labels: NDArray[Any] = np.asarray(groups)
    if labels.shape != (n,):
        raise LastbitError(f"{what} must name one group for each of {plural(n, 'run')}, got shape {labels.shape}")
    return np.asarray(np.unique(labels, return_inverse=True)[1].reshape(-1), dtype=np.int64)
