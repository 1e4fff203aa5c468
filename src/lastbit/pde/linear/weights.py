"""Finite-difference weights, exact in rational arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from lastbit.core.errors import LastbitError

__all__ = ["finite_difference_weights"]


def finite_difference_weights(derivative: int, offsets: Sequence[int]) -> tuple[Fraction, ...]:
    """Return the weights `w` for which `Σ_j w_j u(x + s_j h) = h^m u^(m)(x) + O(h^n)`, `m` the derivative, `n` points.

    They are the only solution of the moment system `Σ_j w_j s_j^q = m! [q = m]`, `q = 0 … n − 1` (Taylor's theorem),
    found by the derivatives at 0 of the Lagrange basis polynomials, which solve it without elimination. (Fornberg,
    "Generation of finite difference formulas on arbitrarily spaced grids", Math. Comp. 51, 1988, gives a recursion for
    the same numbers.)

    Args:
        derivative: the order `m ≥ 0` of the derivative.
        offsets: the points of the stencil in units of the spacing, all different, more than `m` of them.

    Returns:
        One exact fraction per offset, for unit spacing; divide by `h^m` for spacing `h`.

    Raises:
        LastbitError: a negative order, repeated offsets, or too few of them.

    Example:
        >>> [str(weight) for weight in finite_difference_weights(2, [-1, 0, 1])]
        ['1', '-2', '1']
        >>> [str(weight) for weight in finite_difference_weights(1, [-2, -1, 0, 1, 2])]
        ['1/12', '-2/3', '0', '2/3', '-1/12']
    """
    if derivative < 0:
        raise LastbitError(f"derivative order {derivative} is negative: write 0, 1, 2, …")
    if len(set(offsets)) != len(offsets):
        raise LastbitError(f"stencil offsets {list(offsets)} repeat a point: give every offset once")
    if len(offsets) <= derivative:
        raise LastbitError(
            f"{len(offsets)} stencil points cannot carry a derivative of order {derivative}: "
            f"give at least {derivative + 1} offsets"
        )
    factorial = Fraction(1)
    for factor in range(2, derivative + 1):
        factorial *= factor
    return tuple(factorial * _lagrange_basis(j, offsets)[derivative] for j in range(len(offsets)))


def _lagrange_basis(j: int, nodes: Sequence[int]) -> list[Fraction]:
    """Coefficients, lowest first, of the polynomial that is 1 at `nodes[j]` and 0 at the other nodes."""
    coefficients = [Fraction(1)]
    for index, node in enumerate(nodes):
        if index == j:
            continue
        width = Fraction(nodes[j] - node)
        lower = [-node * c / width for c in coefficients] + [Fraction(0)]
        upper = [Fraction(0)] + [c / width for c in coefficients]
        coefficients = [a + b for a, b in zip(lower, upper, strict=True)]
    return coefficients
