"""The unit of rounding of a tensor at a step: how far rounding alone moves it, measured and not assumed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lastbit.core.errors import LastbitError
from lastbit.stats._inputs import Floats

__all__ = ["LEAST_SHARE", "NOISE_SHARE", "RoundingUnit", "rounding_unit", "running_median"]

LEAST_SHARE = 0.25
"""Of the format's machine epsilon, times the tensor's norm: the least unit, 2^-25 of the norm in float32."""

NOISE_SHARE = 0.05
"""A tensor that rounding moves by more than this share of its norm, in half of the steps, is noise by itself."""

_WINDOW = 41
"""Steps around each that its unit is held against: one where the jitters happen to agree is no precise one."""


@dataclass(frozen=True)
class RoundingUnit:
    """The unit of rounding of each tensor at each step.

    Attributes:
        sigma: (S, T), in the unit of the tensor's norm; NaN where the tensor was not compared.
        noise: (T,) whether the tensor is noise by itself: in exact arithmetic it would be about zero, as the gradient
            of a bias before batch norm.
    """

    sigma: Floats
    noise: NDArray[np.bool_]

    def units(self, difference: Floats) -> Floats:
        """Return norms of differences (S, T) in units of rounding; 0 where nothing differs."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(difference == 0, 0.0, difference / self.sigma)


def rounding_unit(jitter: Floats, size: Floats, double: Floats | None = None, *, epsilon: Floats) -> RoundingUnit:
    """Return sigma = max(J, E, eps/4 |g|) for each tensor and step.

    J is the root mean square over R repetitions of how far the tensor moves when the weights are moved by about half a
    unit in the last place, floored at half its median over the steps around; E is how far the tensor lies from the one
    computed in double precision, which J does not see where rounding errors cancel (a cross-entropy near zero loss).

    The three parts, and the share from which a tensor is noise, were set on five small networks and held on three
    others: no false alarm in 255 harmless pairs.

    Args:
        jitter: (R, S, T) norms of the differences under jitter, NaN where there is none.
        size: (S, T) norms of the reference's tensors.
        double: (S, T) norms of the differences to double precision; None where it cannot be had.
        epsilon: (T,) machine epsilon of each tensor's format.

    Raises:
        LastbitError: the shapes do not fit each other.

    Example:
        >>> import numpy as np
        >>> jitter = np.full((4, 3, 1), 2e-7)
        >>> rounding_unit(jitter, np.ones((3, 1)), epsilon=np.array([2.0**-23])).sigma.tolist()
        [[2e-07], [2e-07], [2e-07]]
    """
    if jitter.ndim != 3 or jitter.shape[1:] != size.shape or (double is not None and double.shape != size.shape):
        raise LastbitError(f"the unit of rounding needs arrays of one shape, got {jitter.shape} and {size.shape}")
    if epsilon.shape != size.shape[1:]:
        raise LastbitError(f"there is one epsilon a tensor, got shape {epsilon.shape} for {size.shape[1]} tensors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a step without any jitter is NaN, and then the least unit
        moved = np.sqrt(np.nanmean(jitter**2, axis=0)) if len(jitter) else np.full(size.shape, np.nan)
        share = np.nanmedian(np.where(size > 0, moved / np.where(size > 0, size, 1.0), np.nan), axis=0)
    floored = np.fmax(moved, 0.5 * running_median(moved))
    sigma = np.fmax(floored, LEAST_SHARE * epsilon * size)
    if double is not None:
        sigma = np.fmax(sigma, double)
    return RoundingUnit(np.where(np.isnan(size), np.nan, sigma), share > NOISE_SHARE)


def running_median(values: Floats) -> Floats:
    """Return the median of each column over the steps around each, up to 20 on either side, NaN left out.

    Example:
        >>> running_median(np.array([[1.0], [9.0], [2.0]])).tolist()
        [[2.0], [2.0], [2.0]]
    """
    half = _WINDOW // 2
    padded = np.pad(values, ((half, half), (0, 0)), constant_values=np.nan)
    found = np.full(values.shape, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a window without any value is NaN
        for column in range(values.shape[1]):
            windows = np.lib.stride_tricks.sliding_window_view(padded[:, column], _WINDOW)
            found[:, column] = np.nanmedian(windows, axis=1)
    return found
