"""How far the true distance may lie from one that was estimated by sketches."""

from __future__ import annotations

import numpy as np

from lastbit.core.errors import LastbitError

__all__ = ["distance_interval", "ratio_interval"]


def distance_interval(width: int = 64, level: float = 0.95) -> tuple[float, float]:
    """Return the factors that take an estimated distance to the ends of its interval.

    `width D̂²/D²` is chi-squared with `width` degrees of freedom, so the true distance lies between
    `D̂ sqrt(width / q((1 + level)/2))` and `D̂ sqrt(width / q((1 - level)/2))`, `q` its quantiles.

    Raises:
        LastbitError: `level` is not between 0 and 1.

    Example:
        >>> [round(factor, 3) for factor in distance_interval()]
        [0.853, 1.209]
    """
    _check_level(level)
    from scipy.special import chdtri  # imports much, and every program that is launched makes sketches

    # It inverts the survival function.
    upper, lower = chdtri(width, (1 - level) / 2), chdtri(width, (1 + level) / 2)
    return float(np.sqrt(width / upper)), float(np.sqrt(width / lower))


def ratio_interval(width: int = 64, level: float = 0.95) -> tuple[float, float]:
    """Return the factors of `distance_interval` for a distance relative to a norm that is estimated by sketches too.

    The ratio of two independent estimates of squares over the ratio of the squares has an F distribution with `width`
    and `width` degrees of freedom. Those of a difference and of the weights are nearly independent where the two point
    in unrelated directions, and vary together, which is less, where the difference is as large as the weights.

    Raises:
        LastbitError: `level` is not between 0 and 1.

    Example:
        >>> [round(factor, 3) for factor in ratio_interval()]
        [0.781, 1.28]
    """
    _check_level(level)
    from scipy.special import fdtri

    most = float(np.sqrt(fdtri(width, width, (1 + level) / 2)))
    return 1 / most, most


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise LastbitError(f"level = {level}: write a probability between 0 and 1, such as 0.95")
