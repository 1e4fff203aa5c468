"""The linear recurrence of an optimizer in one eigendirection, and the curvatures it is stable for.

With the preconditioner frozen, one step of an optimizer on a quadratic of curvature `h` is linear in its state
`s = (w, buffers...)`: `s' = (F + h b c^T) s`. `F` moves the state without a gradient, `c` reads the point where the
gradient `h c.s` is taken, and `b` says how a gradient enters the state. The scheme is stable where the spectral radius
of that companion matrix is at most 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lastbit.core.errors import LastbitError

__all__ = ["LinearUpdate"]

Array = np.ndarray[Any, np.dtype[np.float64]]

_MARGIN = 1e-9
"""How far past 1 a spectral radius computed in float64 may lie and still be called 1: a double eigenvalue on the unit
circle, as undamped momentum has, moves by the square root of the rounding, 1.5e-8 at worst for order-one entries, and
far less between the critical curvatures where it is tested."""


@dataclass(frozen=True)
class LinearUpdate:
    """`s' = (free + h gain read^T) s`, the update of one coordinate with curvature `h`.

    Attributes:
        free: `(m, m)`, the update without gradient; the first entry of the state is the weight.
        gain: `(m,)`, what a unit gradient adds to the next state.
        read: `(m,)`, where the gradient is taken; the weight itself by default.

    Example:
        >>> gradient_descent = LinearUpdate(free=[[1.0]], gain=[-0.1])
        >>> gradient_descent.stable_interval()
        (0.0, 20.0)
    """

    free: Array
    gain: Array
    read: Array

    def __init__(self, free: ArrayLike, gain: ArrayLike, read: ArrayLike | None = None) -> None:
        try:
            matrix, entry = (np.asarray(given, dtype=np.float64) for given in (free, gain))
            size = len(np.atleast_1d(matrix))
            first = np.eye(1, size)[0] if read is None else np.asarray(read, dtype=np.float64)
        except (ValueError, TypeError):
            raise LastbitError("a linear update needs rows of numbers of one length: free (m, m), gain (m,)") from None
        if not size or matrix.shape != (size, size) or entry.shape != (size,) or first.shape != (size,):
            raise LastbitError(
                f"a linear update of m states needs free (m, m), gain (m,) and read (m,), got {matrix.shape}, "
                f"{entry.shape} and {first.shape}"
            )
        if not (np.isfinite(matrix).all() and np.isfinite(entry).all() and np.isfinite(first).all()):
            raise LastbitError("a linear update must be finite: is the learning rate or the momentum NaN or infinite?")
        for name, value in (("free", matrix), ("gain", entry), ("read", first)):
            object.__setattr__(self, name, value)

    def companion(self, curvature: float) -> Array:
        """Return the matrix of one step, `(m, m)`."""
        return self.free + curvature * np.outer(self.gain, self.read)

    def amplification_factor(self, curvature: float) -> float:
        """Return the spectral radius of one step: growth per step, at most 1 where stable."""
        return float(np.abs(np.linalg.eigvals(self.companion(curvature))).max())

    def critical_curvatures(self) -> Array:
        """Return the curvatures where an eigenvalue may cross the unit circle, ascending.

        The characteristic polynomial `d(z) - h n(z)` is affine in `h`, so an eigenvalue on the circle means
        `h = d(z)/n(z)` real: at `z = 1`, at `z = -1`, and where `d(z) n(1/z) = d(1/z) n(z)`.
        """
        d, n = self._characteristic()
        symmetric = np.convolve(d, n[::-1]) - np.convolve(d[::-1], n)
        size = float(np.abs(symmetric).max())
        # Coefficients at rounding level at both ends (it is self-reciprocal) would send roots to 0 and infinity.
        kept = np.flatnonzero(np.abs(symmetric) > 1e-15 * size)
        if len(kept):
            symmetric = symmetric[kept[0] : kept[-1] + 1]
        points = [1.0 + 0j, -1.0 + 0j]
        if size > max(1e-12 * float(np.abs(d).max() * np.abs(n).max()), 1e-300):
            points += [z for z in np.roots(symmetric) if abs(abs(z) - 1) < 1e-6]
        found = []
        for z in points:
            below = np.polyval(n, z)
            if abs(below) > 1e-14 * np.abs(n).max():
                h = np.polyval(d, z) / below
                if abs(h.imag) <= 1e-6 * abs(h):
                    found.append(float(h.real))
        # Adding 0 turns -0 into 0.
        return np.unique(np.array(found)) + 0.0

    def _characteristic(self) -> tuple[Array, Array]:
        """Return `d` and `n` of `det(z - F - h b c^T) = d(z) - h n(z)`, highest power first, both of length m + 1.

        `n(z) = c^T adj(z - F) b`, with the adjugate's coefficients from the Faddeev–LeVerrier recurrence: taking `n` as
        a difference of two determinants would lose a small learning rate to cancellation.
        """
        size = len(self.free)
        d, n = np.zeros(size + 1), np.zeros(size + 1)
        d[0] = 1.0
        adjugate = np.eye(size)
        for k in range(1, size + 1):
            n[k] = self.read @ adjugate @ self.gain
            product = self.free @ adjugate
            d[k] = -np.trace(product) / k
            adjugate = product + d[k] * np.eye(size)
        return d, n

    def stable_interval(self) -> tuple[float, float]:
        """Return the interval of curvatures with spectral radius at most 1.

        It is the one that holds small positive curvatures, else the widest; `(inf, -inf)` where none is stable.
        """
        edges = self.critical_curvatures()
        if len(edges) == 0:
            return (-np.inf, np.inf) if self.amplification_factor(0.0) <= 1 + _MARGIN else (np.inf, -np.inf)
        reach = np.abs(edges).max() or 1.0
        bounds = [-np.inf, *edges, np.inf]
        tests = [edges[0] - reach, *[(a + b) / 2 for a, b in pairwise(edges)], edges[-1] + reach]
        intervals: list[tuple[float, float]] = []
        for (low, high), inside in zip(pairwise(bounds), tests, strict=True):
            if self.amplification_factor(inside) > 1 + _MARGIN:
                continue
            if intervals and intervals[-1][1] == low:
                intervals[-1] = (intervals[-1][0], float(high))
            else:
                intervals.append((float(low), float(high)))
        if not intervals:
            return (np.inf, -np.inf)
        positive = [bound for bound in intervals if bound[0] <= 1e-12 * reach < bound[1]]
        return (positive or sorted(intervals, key=lambda bound: bound[0] - bound[1]))[0]
