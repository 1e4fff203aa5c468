"""Stencils: linear operators that weigh the same neighbours at every point, and their symbols."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from lastbit.core.errors import LastbitError
from lastbit.pde.linear.grids import Grid

__all__ = ["Stencil"]


@dataclass(frozen=True)
class Stencil:
    """`(Lu)_j = Σ_s c_s u_{j+s}`: the same weighted sum of neighbours at every point.

    Sums (`a + b`), differences, multiples (`2.0 * a`) and products (`a @ b`, apply `b` then `a`) are stencils again.

    Args:
        offsets: the shifts `s`, in grid points, one tuple of `dim` integers per coefficient.
        coefficients: the weights `c_s`, real, with every power of the spacing already in them.
        spacing: the grid's spacing along each axis, which turns offsets into lengths.

    Raises:
        LastbitError: numbers of offsets and coefficients differ, an offset has the wrong length, a coefficient is not
            finite, or a spacing is not positive.
    """

    offsets: tuple[tuple[int, ...], ...]
    coefficients: tuple[float, ...]
    spacing: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.coefficients):
            raise LastbitError(f"{len(self.offsets)} offsets for {len(self.coefficients)} coefficients: give one each")
        if any(len(offset) != self.dim for offset in self.offsets):
            raise LastbitError(f"stencil offsets {self.offsets}: give {self.dim} integers each, one per axis")
        if not all(math.isfinite(c) for c in self.coefficients):
            raise LastbitError(f"stencil coefficients {self.coefficients}: give finite numbers")
        if not all(math.isfinite(dx) and dx > 0 for dx in self.spacing):
            raise LastbitError(f"spacing {self.spacing} arrived: give positive finite lengths")

    @property
    def dim(self) -> int:
        """Number of axes."""
        return len(self.spacing)

    def is_symmetric(self) -> bool:
        """Whether flipping any one axis leaves the stencil as it is (then its symbol holds on bounded grids too)."""
        weights = dict(zip(self.offsets, self.coefficients, strict=True))
        return all(
            math.isclose(weights.get((*offset[:axis], -offset[axis], *offset[axis + 1 :]), 0.0), c, rel_tol=1e-12)
            for offset, c in weights.items()
            for axis in range(self.dim)
        )

    def symbol(self, omega: ArrayLike) -> NDArray[np.complex128]:
        """Return `λ(ω) = Σ_s c_s e^{i ω·(s dx)}`, the factor by which `L` multiplies the wave `e^{iω·x}`.

        Args:
            omega: angular frequencies in radians per length; any shape in one dimension, `(…, dim)` in more.

        Returns:
            Complex array of shape `(…)`. With `e_s = (c_s + c_−s)/2` and `o_s = (c_s − c_−s)/2` it is summed as
            `Σc − 2Σ e_s sin²(φ_s/2) + i Σ o_s sin φ_s`, which keeps its relative accuracy for long waves, where
            `Σ c cos φ` would cancel, and is exactly real (imaginary) for even (odd) stencils.

        Raises:
            LastbitError: in more than one dimension, a last axis of another length.
        """
        frequencies = np.asarray(omega, dtype=np.float64)
        if self.dim == 1:
            frequencies = frequencies[..., None]
        elif frequencies.shape[-1:] != (self.dim,):
            raise LastbitError(
                f"frequencies of shape {frequencies.shape} for an operator in {self.dim} dimensions: "
                f"give an array of shape (…, {self.dim})"
            )
        shifts = np.asarray(self.offsets, dtype=np.float64).reshape(-1, self.dim) * np.asarray(self.spacing)
        phase = frequencies @ shifts.T
        weights = dict(zip(self.offsets, self.coefficients, strict=True))
        mirrored = np.array([weights.get(tuple(-s for s in offset), 0.0) for offset in self.offsets])
        c = np.asarray(self.coefficients, dtype=np.float64)
        # A lone offset stands for its absent mirror image too, so its even and odd halves count twice.
        twice = np.array([1.0 if tuple(-s for s in offset) in weights else 2.0 for offset in self.offsets])
        even, odd = twice * (c + mirrored) / 2, twice * (c - mirrored) / 2
        total = math.fsum(self.coefficients)
        # The weights of a derivative sum to 0 in exact arithmetic: what rounding them leaves would drown long waves.
        if abs(total) <= 4 * np.finfo(np.float64).eps * math.fsum(map(abs, self.coefficients)):
            total = 0.0
        real = total - 2 * (np.sin(phase / 2) ** 2 @ even)
        return np.asarray(real + 1j * (np.sin(phase) @ odd), dtype=np.complex128)

    def matrix(self, grid: Grid) -> sp.csr_array:
        """Return `L` on the grid as a sparse matrix of shape `(grid.size, grid.size)`, rows in C order."""
        if grid.spacing != self.spacing:
            raise LastbitError(
                f"an operator made for spacing {self.spacing} met a grid of spacing {grid.spacing}: use one spacing"
            )
        size, rows, columns, values = grid.size, [], [], []
        for offset, coefficient in zip(self.offsets, self.coefficients, strict=True):
            found = [grid.neighbours(axis, step) for axis, step in enumerate(offset)]
            index = np.ravel_multi_index(np.meshgrid(*(f[0] for f in found), indexing="ij"), grid.shape).ravel()
            sign = np.prod(np.meshgrid(*(f[1] for f in found), indexing="ij"), axis=0).ravel()
            rows.append(np.arange(size))
            columns.append(index)
            values.append(coefficient * sign)
        entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        return sp.csr_array(sp.coo_array(entries, shape=(size, size)))

    def __add__(self, other: Stencil) -> Stencil:
        """Return the sum of two operators."""
        if not isinstance(other, Stencil):
            return NotImplemented
        self._same_spacing(other)
        return _collect(itertools.chain(self._terms(), other._terms()), self.spacing)

    def __rmul__(self, factor: float) -> Stencil:
        """Return the multiple `factor · L`."""
        return Stencil(self.offsets, tuple(float(factor) * c for c in self.coefficients), self.spacing)

    def __sub__(self, other: Stencil) -> Stencil:
        """Return the difference of two operators."""
        return self + (-1.0) * other if isinstance(other, Stencil) else NotImplemented

    def __matmul__(self, other: Stencil) -> Stencil:
        """Return the product: apply `other`, then `self`."""
        if not isinstance(other, Stencil):
            return NotImplemented
        self._same_spacing(other)
        pairs = itertools.product(self._terms(), other._terms())
        return _collect(
            ((tuple(a + b for a, b in zip(s, t, strict=True)), c * d) for (s, c), (t, d) in pairs), self.spacing
        )

    def _terms(self) -> Iterator[tuple[tuple[int, ...], float]]:
        return zip(self.offsets, self.coefficients, strict=True)

    def _same_spacing(self, other: Stencil) -> None:
        if other.spacing != self.spacing:
            raise LastbitError(f"operators on spacings {self.spacing} and {other.spacing} met: use one spacing")


def _collect(terms: Iterable[tuple[tuple[int, ...], float]], spacing: tuple[float, ...]) -> Stencil:
    """The stencil of the summed `terms`, pairs of offset and coefficient, without the points that cancel."""
    total: dict[tuple[int, ...], float] = {}
    for offset, coefficient in terms:
        total[offset] = total.get(offset, 0.0) + coefficient
    kept = {offset: c for offset, c in sorted(total.items()) if c != 0.0} or {(0,) * len(spacing): 0.0}
    return Stencil(tuple(kept), tuple(kept.values()), spacing)
