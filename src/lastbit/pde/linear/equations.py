"""Linear equations with constant coefficients, and the frequencies at which they are analysed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lastbit.core.errors import LastbitError
from lastbit.pde.linear.grids import Grid
from lastbit.pde.linear.stencils import Stencil

__all__ = ["SHORTEST_PHASE", "LinearEquation", "analysed_frequencies"]

SHORTEST_PHASE = 2e-3
"""Smallest `ω·dx` evaluated besides 0. Limits that long waves set are extrapolated from here: their error falls as a
power of the phase, while what cancels in the symbol (the whole of Lax–Wendroff's damping) rises as `ε/(ω·dx)²`."""


@dataclass(frozen=True)
class LinearEquation:
    """`∂_t^m u = (L_0 + dt L_1 + …) u` with constant coefficients, discretised in space.

    Args:
        terms: `L_0, L_1, …`. All but the first are what a scheme such as Lax–Wendroff adds in proportion to its step.
        time_order: `m`, 1 or 2.

    Raises:
        LastbitError: no term, terms on different spacings, or a time order other than 1 and 2.
    """

    terms: tuple[Stencil, ...]
    time_order: int = 1

    def __post_init__(self) -> None:
        if not self.terms:
            raise LastbitError("an equation without operator arrived: give at least one")
        if len({term.spacing for term in self.terms}) != 1:
            raise LastbitError("an equation's operators have different spacings: use one")
        if self.time_order not in (1, 2) or (self.time_order == 2 and len(self.terms) > 1):
            raise LastbitError(
                f"time order {self.time_order} with {len(self.terms)} terms: write 1, or 2 with one term"
            )

    @property
    def spacing(self) -> tuple[float, ...]:
        """The grid spacing along each axis."""
        return self.terms[0].spacing

    @property
    def dim(self) -> int:
        """Number of axes."""
        return len(self.spacing)

    def symbol(self, omega: ArrayLike, dt: float = 0.0) -> NDArray[np.complex128]:
        """Return `λ(ω) = Σ_m dt^m λ_m(ω)`, in units of `1/time^m`; `omega` as for `Stencil.symbol`."""
        return np.asarray(sum(dt**power * term.symbol(omega) for power, term in enumerate(self.terms)))


def analysed_frequencies(equation: LinearEquation, grid: Grid | None) -> NDArray[np.float64]:
    """Return a grid's own modes, or a sample of every frequency up to `π/dx`; shape `(N, dim)`.

    Real operators give conjugate symbols at `ω` and `−ω`, so the sample keeps half of them: the first component is not
    negative.

    Raises:
        LastbitError: the grid has another spacing, or it is bounded and the operator's stencil is not symmetric.
    """
    spacing = np.asarray(equation.spacing)
    if grid is not None:
        if grid.spacing != equation.spacing:
            raise LastbitError(
                f"an equation on spacing {equation.spacing} met a grid of spacing {grid.spacing}: use one"
            )
        if grid.boundary != "periodic" and not all(term.is_symmetric() for term in equation.terms):
            raise LastbitError(
                f"an asymmetric operator has no symbol on a {grid.boundary} grid: use boundary='periodic', or the "
                "eigenvalues of .matrix(grid)"
            )
        return grid.frequencies()
    positive = np.linspace(0, math.pi, {1: 513, 2: 65, 3: 17}[equation.dim])
    axes = [positive] + [np.concatenate([-positive[:0:-1], positive])] * (equation.dim - 1)
    phases = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=-1)
    lattice = np.stack(np.meshgrid(*[np.arange(-2, 3)] * equation.dim, indexing="ij"), axis=-1).reshape(
        -1, equation.dim
    )
    directions = lattice[lattice.any(axis=1) & (lattice[:, 0] >= 0)]
    directions = directions / np.abs(directions).max(axis=1, keepdims=True)
    long_waves = np.geomspace(SHORTEST_PHASE, 0.1, 7)[:, None, None] * directions
    return np.asarray(np.concatenate([phases, long_waves.reshape(-1, equation.dim)]) / spacing)
