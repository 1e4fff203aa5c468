"""A matrix given in full, and a diagonal block of any operator."""

from __future__ import annotations

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.curvature.operators.base import SymmetricOperator

__all__ = ["BlockOperator", "DenseOperator"]


class DenseOperator(SymmetricOperator):
    """A symmetric matrix given in full, `(P, P)`.

    Raises:
        LastbitError: the matrix is not square and symmetric.
    """

    def __init__(self, matrix: Tensor) -> None:
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise LastbitError(f"a symmetric matrix is square, got shape {tuple(matrix.shape)}")
        if not torch.allclose(matrix, matrix.mT, rtol=1e-4, atol=1e-6 * float(matrix.abs().max())):
            raise LastbitError("the matrix is not symmetric: give (matrix + matrix.mT) / 2")
        super().__init__(len(matrix), matrix.dtype, matrix.device)
        self.matrix = matrix

    def _multiply(self, vectors_KP: Tensor) -> Tensor:
        return vectors_KP @ self.matrix


class BlockOperator(SymmetricOperator):
    """The diagonal block of `operator` at `indices`, by products with vectors that are zero elsewhere.

    `HessianOperator.block` is cheaper for a Hessian; this one cuts a block out of any operator.
    """

    def __init__(self, operator: SymmetricOperator, indices: Tensor) -> None:
        if indices.ndim != 1 or len(indices) == 0:
            raise LastbitError(f"a block needs a vector of at least one index, got shape {tuple(indices.shape)}")
        super().__init__(len(indices), operator.dtype, operator.device)
        self.operator = operator
        self.indices = indices.to(operator.device)

    def _multiply(self, vectors_KP: Tensor) -> Tensor:
        padded = vectors_KP.new_zeros(len(vectors_KP), self.operator.size)
        padded[:, self.indices] = vectors_KP
        return self.operator.multiply_rows(padded)[:, self.indices]
