"""Where the roots of a stability polynomial leave the unit circle, as polynomials in the step.

Shapes: `N` frequencies, `k + 1` coefficients in the amplification factor `g`, `D + 1` coefficients in the step `r`;
`pencil_NGR` holds `P[n, j, m]`, the coefficient of `g^j r^m`.

Eigenvalues of a companion matrix cannot tell `|g| = 1 + 1e−18`, which is instability for every step (forward Euler on
the centred advection equation at `dt = 1e−9`), from `|g| = 1`. So the root condition is not decided on numbers here:
the Schur–Cohn recursion runs on polynomials *in the step*, with a running error bound that sets to zero what cancels,
and leaves for each frequency a few real polynomials in `r` that must not be negative. Their lowest power decides what
happens for small steps, however small, and their first sign change is the step limit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Condition", "amplification_roots", "first_negative", "root_conditions"]

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]

ROUNDING = 8 * np.finfo(np.float64).eps
"""Relative error granted to every coefficient at the start and to every product: a few operations' worth."""

ON_CIRCLE = 1e-12
"""A condition above minus this share of its terms counts as met: the roots lie on the circle, to rounding."""


class Condition(NamedTuple):
    """A real polynomial `D(r)` per frequency that must not be negative, and the rounding error of its coefficients."""

    coefficients_NR: Real
    errors_NR: Real

    def at(self, r_N: Real) -> tuple[Real, Real, Real]:
        """Return `D(r)`, `Σ|d_m| r^m` and the error of `D(r)`, each of shape `(N,)`."""
        value, size, error = np.zeros((3, len(r_N)))
        columns = zip(self.coefficients_NR.T[::-1], self.errors_NR.T[::-1], strict=True)
        for coefficient, uncertainty in columns:  # Horner's rule
            value = value * r_N + coefficient
            size = size * r_N + np.abs(coefficient)
            error = error * r_N + uncertainty
        return value, size, error

    def is_broken(self, r_N: Real) -> NDArray[np.bool_]:
        """Whether `D(r)` is negative by more than rounding."""
        value, size, error = self.at(r_N)
        return np.asarray(value < -(ON_CIRCLE * size + error))

    def is_marginal(self, r_N: Real) -> NDArray[np.bool_]:
        """Whether `D(r)` is within 1e−9 of vanishing without being identically 0: roots on the circle."""
        value, size, error = self.at(r_N)
        return np.asarray((np.abs(value) <= 1e-9 * size + error) & (size > 0))

    @property
    def at_worst(self) -> Condition:
        """The lowest that rounding allows: its first negative value comes too soon where this one's comes too late."""
        return Condition(self.coefficients_NR - 2 * self.errors_NR, self.errors_NR)


def root_conditions(pencil_NGR: Complex) -> list[Condition]:
    """Return polynomials `D_i(r)`, shape `(N, ·)` each: no root lies outside the unit circle iff none is negative.

    One step of the recursion (Schur 1918, Cohn 1922; Miller, "On the location of zeros of certain classes of
    polynomials", 1971): `f = Σ a_j g^j` of degree `k` has its roots in the closed disc iff `D = |a_k|² − |a_0|² > 0`
    and the reduced polynomial `b_j = ā_k a_{j+1} − a_0 ā_{k−1−j}` has; or `b ≡ 0` (the roots lie in mirrored pairs) and
    `f'` has. Where `D ≡ 0` and `b ≢ 0` a root lies outside for every `r`: the condition returned there is `−1`.
    """
    a, error = pencil_NGR, ROUNDING * np.abs(pencil_NGR)
    conditions: list[Condition] = []
    for degree in range(pencil_NGR.shape[1] - 1, 0, -1):
        reduced, reduced_error = [], []
        for j in range(degree):
            left, left_error = _product(a[:, degree], a[:, j + 1], error[:, degree], error[:, j + 1])
            right, right_error = _product(a[:, degree - 1 - j], a[:, 0], error[:, degree - 1 - j], error[:, 0])
            total, blur = left - right, left_error + right_error
            # What its own error could have produced is a 0 blurred by rounding: 0 by the scheme's structure.
            cancelled = np.abs(total) <= blur
            reduced.append(np.where(cancelled, 0, total))
            reduced_error.append(np.where(cancelled, 0, blur))
        b, b_error = np.stack(reduced, axis=1), np.stack(reduced_error, axis=1)
        mirrored = np.asarray(~b.any(axis=(1, 2)))
        condition = b[:, degree - 1].real.copy()
        always_outside = ~condition.any(axis=1) & ~mirrored
        condition[always_outside, 0] = -1.0
        conditions.append(Condition(condition, b_error[:, degree - 1]))
        powers = np.arange(1, degree + 1)[:, None]
        slope, slope_error = _padded(powers * a[:, 1:], b.shape[2]), _padded(powers * error[:, 1:], b.shape[2])
        a = np.where(mirrored[:, None, None], slope, b)
        error = np.where(mirrored[:, None, None], slope_error, b_error)
        scale = np.abs(a).max(axis=(1, 2), keepdims=True)
        a, error = a / np.where(scale > 0, scale, 1), error / np.where(scale > 0, scale, 1)
    return conditions


def _product(conjugated: Complex, other: Complex, first_error: Real, second_error: Real) -> tuple[Complex, Real]:
    """`conj(a)(r) · b(r)` for real `r`, and its running error bound; coefficients along the last axis."""
    length = conjugated.shape[-1] + other.shape[-1] - 1
    value = np.zeros((*other.shape[:-1], length), dtype=np.complex128)
    error = np.zeros(value.shape)
    size, other_size = np.abs(conjugated), np.abs(other)
    for power in range(conjugated.shape[-1]):
        window = slice(power, power + other.shape[-1])
        value[..., window] += conjugated[..., power, None].conj() * other
        error[..., window] += size[..., power, None] * (ROUNDING * other_size + second_error)
        error[..., window] += first_error[..., power, None] * (other_size + second_error)
    return value, error


def _padded(a: NDArray[np.generic], length: int) -> NDArray[np.generic]:
    return np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, length - a.shape[-1])])


def first_negative(condition: Condition) -> Real:
    """Return, per frequency, the largest `r` with `D ≥ 0` on `[0, r]`: 0 where `D` falls at once, `inf` where never.

    The lowest power's sign decides at 0. Elsewhere the positive roots cut the axis into pieces; the sign on the first
    negative one names the root, which bisection then brings to the last bit. A value that its own rounding error could
    have made negative does not count, so a frequency at which `D` cancels can only answer too late, never too soon.
    """
    d_NR = condition.coefficients_NR
    limits = np.full(len(d_NR), np.inf)
    nonzero = d_NR != 0
    present = nonzero.any(axis=1)
    low = nonzero.argmax(axis=1)
    high = d_NR.shape[1] - 1 - nonzero[:, ::-1].argmax(axis=1)
    limits[present & (d_NR[np.arange(len(limits)), low] < 0)] = 0.0
    open_ = present & (limits > 0) & (high > low)
    for first, last in sorted(set(zip(low[open_].tolist(), high[open_].tolist(), strict=True))):
        # Divided by r^first and cut after r^last.
        members = np.flatnonzero(open_ & (low == first) & (high == last))
        limits[members] = _first_sign_change(Condition(*(part[members, first : last + 1] for part in condition)))
    return limits


def _first_sign_change(condition: Condition) -> Real:
    """`first_negative` for polynomials whose first and last coefficients do not vanish, the first positive."""
    d_NR = condition.coefficients_NR
    count, degree = d_NR.shape[0], d_NR.shape[1] - 1
    companion = np.zeros((count, degree, degree))
    companion[:, np.arange(1, degree), np.arange(degree - 1)] = 1.0
    companion[:, :, -1] = -d_NR[:, :-1] / d_NR[:, -1:]
    roots = np.linalg.eigvals(companion)
    # A double root splits into a pair √ε off the axis; a sign test below tells whether the sign changes there.
    positive = (roots.real > 0) & (np.abs(roots.imag) <= 1e-5 * np.abs(roots))
    cuts = np.sort(np.where(positive, np.abs(roots), np.inf), axis=1)
    found = np.isfinite(cuts)
    finite = np.where(found, cuts, 1.0)
    # One probe before the first cut, one between each cut and the next, one beyond the last.
    between = np.sqrt(finite[:, :-1]) * np.sqrt(finite[:, 1:])
    beyond = np.where(np.concatenate([found[:, 1:], np.zeros((count, 1), bool)], axis=1), 0.0, 2 * finite)
    after = np.concatenate([between, np.ones((count, 1))], axis=1)
    probes = np.concatenate([finite[:, :1] / 2, np.where(beyond > 0, beyond, after)], axis=1)
    usable = np.concatenate([np.ones((count, 1), bool), found], axis=1)
    negative = usable & np.stack([condition.is_broken(probe) for probe in probes.T], axis=1)
    leaves = np.asarray(negative.any(axis=1))
    index = np.maximum(negative.argmax(axis=1), 1)
    rows = np.arange(count)
    inside = np.where(leaves, probes[rows, index - 1], 1.0)
    outside = np.where(leaves, probes[rows, index], 1.0)
    for _ in range(70):
        middle = (inside + outside) / 2
        value, _, error = condition.at(middle)
        below = value < -error
        inside, outside = np.where(below, inside, middle), np.where(below, middle, outside)
    return np.asarray(np.where(leaves, inside, np.inf))


def amplification_roots(coefficients: Complex) -> Complex:
    """Return the `k` roots `g` of `Σ_j a_j g^j`, shape `(…, k)`, as eigenvalues of the companion matrix.

    Args:
        coefficients: `a_0 … a_k` along the last axis. Where `a_k = 0` one root is at infinity; all are given as `inf`.
    """
    lead = coefficients[..., -1:]
    finite = lead != 0
    monic = coefficients[..., :-1] / np.where(finite, lead, 1)
    degree = monic.shape[-1]
    if degree == 1:
        return np.asarray(np.where(finite, -monic, np.inf))
    companion = np.zeros((*monic.shape[:-1], degree, degree), dtype=np.complex128)
    companion[..., np.arange(1, degree), np.arange(degree - 1)] = 1.0
    companion[..., :, -1] = -monic
    usable = np.asarray(np.isfinite(companion).all(axis=(-2, -1)))
    roots = np.linalg.eigvals(np.where(usable[..., None, None], companion, 0))
    return np.asarray(np.where(finite & usable[..., None], roots, np.inf))
