"""How far accumulated rounding alone can take two runs apart: the bound behind the verdict `stable`.

Let two runs differ by `δ_t` in their weights, and let training be non-expansive for the difference, that is, a step
turns `δ` into at most its own size. Storing the new weights rounds each of them by at most half an ulp, at most `u |w|`
with `u` the unit roundoff (2^-24 for float32). Under round-to-nearest that error is, as in the usual statistical model
(Higham and Mary, SIAM J. Sci. Comput. 41, 2019), of mean zero, independent of what came before, and uniform over the
ulp, so its mean square is at most `u² w² / 3`. Both runs round, so the difference picks up at most `2/3 u² |w_t|²` per
step:

    E|δ_t|² <= |δ_0|² + (2/3) u² sum_{s < t} |w_s|² .

By Chebyshev's inequality `|δ_t|` passes 10 times the root of the sum with probability below 1% at any one step:

    bound_t = |δ_0| + 10 u sqrt(2/3 sum_{s < t} |w_s|²),      about 8 u sqrt(t) |w|.

The update's own rounding (and that of the gradient) is relative to the update, smaller than `u |w|` by the relative
size of a step; it lies within the factor 10. Rounding that is biased rather than random adds up linearly instead. Its
worst case,

    worst_t = |δ_0| + 2 u sum_{s < t} |w_s| ,

holds for non-expansive training without any statistics.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from lastbit.core.errors import LastbitError

__all__ = ["rounding_bound", "single_rounding", "unit_roundoff", "worst_rounding"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

CHEBYSHEV = 10.0
"""Standard deviations that a quantity of mean zero passes with probability below 1 / 10² = 1%."""


def unit_roundoff(dtype: torch.dtype) -> float:
    """Return half the spacing of floats above 1.

    Raises:
        LastbitError: the format is not a floating-point format.

    Example:
        >>> unit_roundoff(torch.float32) == 2.0**-24
        True
    """
    if not dtype.is_floating_point:
        raise LastbitError(f"{dtype} does not round: name a floating-point format, such as torch.float32")
    return torch.finfo(dtype).eps / 2


def single_rounding(norm: float, dtype: torch.dtype) -> float:
    """Return `u sqrt(2/3) |w|`, the largest root mean square by which the rounding of one step separates two runs."""
    return unit_roundoff(dtype) * float(np.sqrt(2 / 3)) * float(norm)


def rounding_bound(steps: ArrayLike, norm: ArrayLike, dtype: torch.dtype, *, initial: float = 0.0) -> Floats:
    """Return `bound_t` at each recorded step, in the unit of `norm`.

    Args:
        steps: recorded steps (S,), increasing; rounding accumulates from the first of them.
        norm: the base weights' L2 norm (S,) at them, or one number for all. Between two recorded steps the larger of
            their two norms is taken.
        dtype: format of the weights.
        initial: `|δ_0|`.

    Example:
        >>> bound = rounding_bound([0, 100], 1.0, torch.float32)
        >>> float(bound[0]), bool(np.isclose(bound[1], 10 * 2.0**-24 * (200 / 3) ** 0.5))
        (0.0, True)
    """
    squares = _accumulated(steps, norm, power=2)
    return np.asarray(initial + CHEBYSHEV * unit_roundoff(dtype) * np.sqrt(2 / 3 * squares))


def worst_rounding(steps: ArrayLike, norm: ArrayLike, dtype: torch.dtype, *, initial: float = 0.0) -> Floats:
    """Return `worst_t` at each recorded step; the arguments are those of `rounding_bound`."""
    return np.asarray(initial + 2 * unit_roundoff(dtype) * _accumulated(steps, norm, power=1))


def _accumulated(steps: ArrayLike, norm: ArrayLike, power: int) -> Floats:
    """Return the sum of `norm ** power` over the steps before each recorded one."""
    s = np.asarray(steps, dtype=np.float64)
    w = np.broadcast_to(np.asarray(norm, dtype=np.float64), s.shape) ** power
    return np.concatenate([[0.0], np.cumsum(np.diff(s) * np.maximum(w[1:], w[:-1]))])
