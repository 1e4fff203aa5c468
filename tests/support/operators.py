"""Operators by other ways than their sparse matrix: an exact symbol, and a stencil shifted over a field."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True)
class FourierMultiplier:
    """`L e^{iω·x} = m(ω) e^{iω·x}` on periodic grids, `m` from frequencies `(…, dim)`; of `m` its real operator."""

    function: Callable
    spacing: tuple[float, ...]

    def is_symmetric(self):
        return False

    def symbol(self, omega):
        omega = np.asarray(omega, dtype=np.float64)
        return np.asarray(self.function(omega[..., None] if len(self.spacing) == 1 else omega), dtype=np.complex128)

    def matrix(self, grid):
        assert grid.boundary == "periodic"
        values = np.asarray(self.function(grid.frequencies()), dtype=np.complex128).reshape(grid.shape)
        fields = np.eye(grid.size).reshape(grid.size, *grid.shape)
        columns = [np.fft.ifftn(values * np.fft.fftn(field)).real.ravel() for field in fields]
        return sp.csr_array(np.stack(columns, axis=1))


def applied(stencil, u, grid):
    """`Lu` by shifting the field, one neighbour at a time."""
    result = np.zeros_like(u)
    for offset, coefficient in zip(stencil.offsets, stencil.coefficients, strict=True):
        shifted = u
        for axis, step in enumerate(offset):
            index, sign = grid.neighbours(axis, step)
            shifted = np.take(shifted, index, axis=axis) * sign.reshape([-1 if a == axis else 1 for a in range(u.ndim)])
        result += coefficient * shifted
    return result
