"""Time schemes as polynomials in the amplification factor.

Applied to `u' = λu` (or `u'' = λu`) every linear scheme of `k` steps reads

    Σ_{j=0}^{k} p_j(z) u^{n+j} = 0,   z = dt·λ  (or dt²·λ),

and a wave grows by the roots `g` of its *stability polynomial* `Σ_j p_j(z) g^j`. That polynomial is all a scheme is
here: the same numbers give its stability region, its step limit and, with the operator in place of `λ`, its simulation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lastbit.core.errors import LastbitError

__all__ = ["TimeScheme"]

Polynomial = tuple[float, ...]
"""Coefficients, lowest power first."""


@dataclass(frozen=True, kw_only=True)
class TimeScheme:
    """A scheme `Σ_j p_j(z) u^{n+j} = 0` for `u' = λu` (`z = dt·λ`) or `u'' = λu` (`z = dt²·λ`).

    Args:
        name: what it is called in results.
        polynomials: `p_0 … p_k`, each by its real coefficients in `z`, lowest first; `k ≥ 1` is the number of steps.
        time_order: 1 for `u' = λu`, 2 for `u'' = λu`.
        start: `k − 1` polynomials in `z`: `u^j = start_{j−1}(z) u^0`, how the first values are made. Left out, Taylor's
            `e^{jz}` (`cos`-like for `time_order` 2) to the order of `k`.
        real_limit: closed form of the largest `−z` on the negative real axis that is stable, where one is known.
        imaginary_limit: the same on the imaginary axis.
        source: where the closed forms come from.

    Raises:
        LastbitError: no step, a non-finite coefficient, a leading polynomial that vanishes, the wrong number of
            starting polynomials, or a scheme that is unstable already at `z = 0` (it breaks the root condition there,
            so no step could be stable: Dahlquist's zero-stability).

    Example:
        >>> TimeScheme(name="explicit Euler", polynomials=((-1.0, -1.0), (1.0,))).steps
        1
    """

    name: str
    polynomials: tuple[Polynomial, ...]
    time_order: int = 1
    start: tuple[Polynomial, ...] | None = None
    real_limit: float | None = None
    imaginary_limit: float | None = None
    source: str = ""
    parameters: dict[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.time_order not in (1, 2):
            raise LastbitError(
                f"scheme {self.name!r} has time order {self.time_order}: write 1 (u' = λu) or 2 (u'' = λu)"
            )
        if len(self.polynomials) < 2 or not all(self.polynomials):
            raise LastbitError(
                f"scheme {self.name!r} has {len(self.polynomials)} polynomials: give p_0 … p_k, at least two"
            )
        if not all(math.isfinite(c) for p in self.polynomials for c in p):
            raise LastbitError(f"scheme {self.name!r} has a coefficient that is not finite: give finite numbers")
        if self.polynomials[-1][0] == 0:
            raise LastbitError(f"scheme {self.name!r}: p_k(0) = 0, so u^(n+k) is not determined as dt → 0")
        if self.start is not None and len(self.start) != self.steps - 1:
            raise LastbitError(
                f"scheme {self.name!r} of {self.steps} steps needs {self.steps - 1} starting polynomials"
            )
        self._require_zero_stability()

    def _require_zero_stability(self) -> None:
        roots = np.roots([p[0] for p in reversed(self.polynomials)])
        largest = max(abs(roots), default=0.0)
        # A double root is found to √ε only.
        if largest > 1 + 1e-6:
            raise LastbitError(
                f"scheme {self.name!r} is unstable by construction: its root {largest:.6g} at dt = 0 lies outside the "
                "unit circle, so every step amplifies; use a zero-stable polynomial"
            )
        circle = roots[abs(roots) > 1 - 1e-6]
        close = np.abs(circle[:, None] - circle[None, :]) < 1e-5
        if (close.sum(axis=1) > self.time_order).any():
            raise LastbitError(
                f"scheme {self.name!r} is unstable by construction: a root on the unit circle at dt = 0 is repeated "
                f"more than {self.time_order}×; use a zero-stable polynomial"
            )

    @classmethod
    def from_companion(
        cls, name: str, matrices: ArrayLike, *, time_order: int = 1, start: tuple[Polynomial, ...] | None = None
    ) -> TimeScheme:
        """Make a scheme from its one-step form `s^{n+1} = (M_0 + z M_1 + z² M_2 + …) s^n` on a state of `k` parts.

        The stability polynomial is the characteristic polynomial of that matrix, found by Faddeev and LeVerrier's
        recursion with polynomials in `z` for entries. Any explicit update that is linear in its state fits: a companion
        matrix, or momentum's `(weight, velocity)`.

        Args:
            name: what it is called in results.
            matrices: `M_0, M_1, …`, shape `(degree + 1, k, k)`.
            time_order: 1 or 2, as for the class.
            start: as for the class.

        Raises:
            LastbitError: the array has another shape, or the scheme is unstable by construction.

        Example:
            Heavy ball, `v ← βv + zw`, `w ← w + v`:

            >>> beta = 0.9
            >>> scheme = TimeScheme.from_companion("mine", [[[1, beta], [0, beta]], [[1, 0], [1, 0]]])
            >>> [tuple(round(c, 12) for c in p) for p in scheme.polynomials]
            [(0.9,), (-1.9, -1.0), (1.0,)]
        """
        stack = np.asarray(matrices, dtype=np.float64)
        if stack.ndim != 3 or stack.shape[1] != stack.shape[2] or stack.shape[1] < 1:
            raise LastbitError(f"update matrices of shape {stack.shape}: give (degree + 1, k, k)")
        characteristic = _characteristic_polynomial(stack)
        return cls(name=name, polynomials=characteristic, time_order=time_order, start=start)

    @property
    def steps(self) -> int:
        """How many earlier values the next one is made from, `k`."""
        return len(self.polynomials) - 1

    @property
    def is_explicit(self) -> bool:
        """Whether a step needs no linear system: `p_k` is constant."""
        return not any(self.polynomials[-1][1:])

    @property
    def momentum(self) -> float:
        """The momentum of a descent, 0 where there is none."""
        return self.parameters.get("momentum", 0.0)

    def step_limit(self) -> float:
        """Return the largest `h` for which every mode of `u' = -λu` with `0 ≤ dt λ ≤ h` is stable: 2 for Euler.

        Raises:
            LastbitError: no closed form is known.
        """
        if self.real_limit is None:
            raise LastbitError(f"scheme {self.name!r} has no known limit on the real axis: use one of descent_scheme")
        return self.real_limit

    def coefficients(self, z: ArrayLike) -> NDArray[np.complex128]:
        """Return `p_0(z) … p_k(z)`, shape `z.shape + (k + 1,)`."""
        points = np.asarray(z, dtype=np.complex128)
        return np.stack([np.polyval(list(reversed(p)), points) + 0 * points for p in self.polynomials], axis=-1)

    def starting_polynomials(self) -> tuple[Polynomial, ...]:
        """Return `start`, or the Taylor polynomials that stand for it."""
        if self.start is not None:
            return self.start
        powers = range(self.steps + 1)
        return tuple(
            tuple(j ** (self.time_order * m) / math.factorial(self.time_order * m) for m in powers)
            for j in range(1, self.steps)
        )


def _characteristic_polynomial(stack: NDArray[np.float64]) -> tuple[Polynomial, ...]:
    """Coefficients of `det(g − M(z))` in `g`, lowest first, each a polynomial in `z`."""
    k = stack.shape[1]

    def product(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        result = np.zeros((len(a) + len(b) - 1, k, k))
        for i, left in enumerate(a):
            result[i : i + len(b)] += left @ b
        return result

    coefficients: list[NDArray[np.float64]] = [np.array([1.0])]
    auxiliary = np.eye(k)[None]
    for order in range(1, k + 1):
        image = product(stack, auxiliary)
        coefficient = -np.trace(image, axis1=1, axis2=2) / order
        coefficients.append(coefficient)
        auxiliary = image + coefficient[:, None, None] * np.eye(k)
    trimmed = [np.trim_zeros(np.where(np.abs(c) < 1e-14 * np.abs(stack).max(), 0, c), "b") for c in coefficients]
    return tuple(tuple(map(float, c)) or (0.0,) for c in reversed(trimmed))
