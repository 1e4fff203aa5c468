"""The usual derivatives by stencils with exact weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from operator import add

from lastbit.core.errors import LastbitError, choose
from lastbit.pde.linear.stencils import Stencil

__all__ = ["derivative", "derivative_sum", "finite_difference_weights", "identity", "laplacian"]


def identity(spacing: tuple[float, ...]) -> Stencil:
    """Return the operator that changes nothing."""
    return Stencil(((0,) * len(spacing),), (1.0,), spacing)


def derivative(
    order: int, *, spacing: tuple[float, ...], axis: int = 0, accuracy: int = 2, side: str = "central"
) -> Stencil:
    """Return the finite difference for `∂^order/∂x_axis^order` whose error is `O(dx^accuracy)`.

    Args:
        order: of the derivative, at least 1.
        spacing: of the grid, one length per axis.
        axis: along which to differentiate.
        accuracy: order of the error; even for central differences.
        side: `central`, `backward` (points at and before `x`) or `forward`.

    Raises:
        LastbitError: a side of another name, an axis that is not there, or an odd accuracy for a central difference.

    Example:
        >>> derivative(2, spacing=(0.5,)).coefficients
        (4.0, -8.0, 4.0)
    """
    choose(side, ["central", "backward", "forward"], "side of the difference")
    if order < 1 or accuracy < 1:
        raise LastbitError(f"derivative order {order} with accuracy {accuracy}: both must be at least 1")
    if not 0 <= axis < len(spacing):
        raise LastbitError(f"axis {axis} of a grid with {len(spacing)} axes: count from 0")
    if side == "central":
        if accuracy % 2:
            raise LastbitError(f"a central difference of accuracy {accuracy}: symmetric stencils have an even one")
        half = (order + 1) // 2 + accuracy // 2 - 1
        points = range(-half, half + 1)
    else:
        reach = order + accuracy
        points = range(-reach + 1, 1) if side == "backward" else range(reach)
    weights = finite_difference_weights(order, points)
    scale = spacing[axis] ** order
    kept = [(point, float(weight) / scale) for point, weight in zip(points, weights, strict=True) if weight]
    offsets = tuple(tuple(point if a == axis else 0 for a in range(len(spacing))) for point, _ in kept)
    return Stencil(offsets, tuple(c for _, c in kept), spacing)


def derivative_sum(order: int, spacing: tuple[float, ...], *, accuracy: int = 2, side: str = "central") -> Stencil:
    """Return `Σ_axis ∂^order/∂x_axis^order`, each as `derivative` makes it."""
    axes = range(len(spacing))
    return reduce(add, [derivative(order, spacing=spacing, axis=a, accuracy=accuracy, side=side) for a in axes])


def laplacian(spacing: tuple[float, ...], *, accuracy: int = 2) -> Stencil:
    """Return `Σ_axis ∂²/∂x_axis²` by central differences: the 3-, 5- or 7-point Laplacian for accuracy 2."""
    return derivative_sum(2, spacing, accuracy=accuracy)


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
    return tuple(math.factorial(derivative) * _lagrange_basis(j, offsets)[derivative] for j in range(len(offsets)))


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
