"""Uniform grids in one to three dimensions, and what lies beyond their ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lastbit.core.errors import LastbitError, choose

__all__ = ["BOUNDARIES", "Grid"]

BOUNDARIES = ("periodic", "dirichlet", "neumann")


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A uniform grid of `shape` points, `spacing` apart along each axis.

    What lies beyond the ends follows from one rule per boundary, so that stencils of any width apply:

    * `periodic`: the points `x_j = j·dx`, `j = 0 … n − 1`, repeat with period `n·dx`.
    * `dirichlet`: the points are the interior ones, `x_j = (j + 1)·dx`; `u = 0` at `0` and at `(n + 1)·dx`, and `u` is
      continued oddly about both.
    * `neumann`: the points are cell centres, `x_j = (j + ½)·dx`; `u` is continued evenly about `0` and `n·dx`, so its
      normal derivative vanishes there.

    Odd and even continuation make `sin` and `cos` of the frequencies below exact eigenvectors of every symmetric
    stencil, so a symbol holds on bounded grids too as long as the stencil is symmetric.

    Args:
        shape: points along each axis, one to three axes.
        spacing: distance between neighbours along each axis, positive.
        boundary: one of `BOUNDARIES`, the same on every side.

    Raises:
        LastbitError: an empty grid, more than three axes, a spacing that is not positive and finite, or a boundary
            of another name.

    Example:
        >>> Grid(shape=(8,), spacing=(0.5,)).dim
        1
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    boundary: str = "periodic"

    def __post_init__(self) -> None:
        if not 1 <= len(self.shape) <= 3:
            raise LastbitError(f"a grid of {len(self.shape)} axes arrived: give one to three")
        if any(n < 1 for n in self.shape):
            raise LastbitError(f"grid shape {self.shape} holds no point: give at least 1 along every axis")
        if len(self.spacing) != len(self.shape):
            raise LastbitError(f"{len(self.spacing)} spacings for {len(self.shape)} axes: give one per axis")
        if not all(math.isfinite(dx) and dx > 0 for dx in self.spacing):
            raise LastbitError(f"grid spacing {self.spacing} arrived: give positive finite lengths")
        choose(self.boundary, BOUNDARIES, "boundary")

    @property
    def dim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(self.shape)

    def coordinates(self) -> tuple[NDArray[np.float64], ...]:
        """Positions along each axis, one array per axis, shaped to broadcast against a field on the grid."""
        shift = {"periodic": 0.0, "dirichlet": 1.0, "neumann": 0.5}[self.boundary]
        axes = [(np.arange(n) + shift) * dx for n, dx in zip(self.shape, self.spacing, strict=True)]
        return tuple(np.meshgrid(*axes, indexing="ij", sparse=True))

    def frequencies(self) -> NDArray[np.float64]:
        """Angular frequencies of the grid's own modes, in radians per length; shape `(size, dim)`.

        Along an axis of `n` points: `2π·fftfreq(n, dx)` on a periodic grid, `πk/((n + 1)·dx)` for `k = 1 … n` with
        Dirichlet ends, `πk/(n·dx)` for `k = 0 … n − 1` with Neumann ends.
        """
        axes = []
        for n, dx in zip(self.shape, self.spacing, strict=True):
            if self.boundary == "periodic":
                axes.append(2 * np.pi * np.fft.fftfreq(n, dx))
            elif self.boundary == "dirichlet":
                axes.append(np.pi * np.arange(1, n + 1) / ((n + 1) * dx))
            else:
                axes.append(np.pi * np.arange(n) / (n * dx))
        return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=-1)

    def neighbours(self, axis: int, offset: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """For every index `j` along `axis`: which index holds `u_{j + offset}`, and its sign (0 on a zero boundary)."""
        n = self.shape[axis]
        position = np.arange(n) + offset
        if self.boundary == "periodic":
            return position % n, np.ones(n)
        if self.boundary == "neumann":
            folded = position % (2 * n)
            return np.minimum(folded, 2 * n - 1 - folded), np.ones(n)
        # Boundary nodes sit at −1 and n: counted from −1 the odd continuation has period 2(n + 1).
        folded = (position + 1) % (2 * (n + 1))
        index = np.minimum(folded, 2 * (n + 1) - folded) - 1
        sign = np.where(folded < n + 1, 1.0, -1.0) * (folded % (n + 1) != 0)
        return np.clip(index, 0, n - 1), sign
