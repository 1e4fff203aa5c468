"""Symmetric matrices known by their products with vectors: given in full, scaled or shifted by a diagonal.

Axes: K vectors of a block, P parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError

__all__ = ["DenseOperator", "PreconditionedOperator", "ShiftedOperator", "SymmetricOperator"]


class SymmetricOperator(ABC):
    """A real symmetric matrix of shape `(size, size)` that is never formed.

    `operator @ v` takes a vector `(P,)` or a block of columns `(P, K)`. `products` counts vectors multiplied so far.
    """

    def __init__(self, size: int, dtype: torch.dtype, device: torch.device) -> None:
        self.size = size
        self.dtype = dtype
        self.device = device
        self.products = 0

    @property
    def shape(self) -> tuple[int, int]:
        """`(size, size)`."""
        return (self.size, self.size)

    @abstractmethod
    def _multiply(self, vectors_KP: Tensor) -> Tensor:
        """Return the products with the rows of `vectors_KP`, as rows."""

    def multiply_rows(self, vectors_KP: Tensor) -> Tensor:
        """Return the products with the rows of a `(K, P)` block, as rows.

        Raises:
            LastbitError: shape, dtype or device do not fit, or a product is not finite.
        """
        if vectors_KP.ndim != 2 or vectors_KP.shape[1] != self.size:
            raise LastbitError(
                f"the operator multiplies vectors of {self.size} numbers, got shape {tuple(vectors_KP.shape)}"
            )
        if vectors_KP.dtype != self.dtype or vectors_KP.device != self.device:
            raise LastbitError(
                f"the operator works in {self.dtype} on {self.device}, got {vectors_KP.dtype} on {vectors_KP.device}: "
                "convert the vector with .to(operator.device, operator.dtype)"
            )
        self.products += vectors_KP.shape[0]
        with torch.inference_mode(False):
            return self._multiply(vectors_KP.clone() if vectors_KP.is_inference() else vectors_KP)

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Multiply a vector `(P,)` or columns `(P, K)`."""
        if vectors.ndim == 1:
            return self.multiply_rows(vectors[None])[0]
        return self.multiply_rows(vectors.mT).mT

    def dense(self) -> Tensor:
        """Return the matrix itself, `(P, P)`, from P products: for small operators and tests."""
        return self @ torch.eye(self.size, dtype=self.dtype, device=self.device)


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


class PreconditionedOperator(SymmetricOperator):
    """`P^{-1/2} A P^{-1/2}` for a positive diagonal `P`.

    It has the eigenvalues of `P^{-1} A` and stays symmetric. An eigenvector `v` of it is the direction
    `P^{-1/2} v` in weights.

    Args:
        operator: `A`.
        preconditioner_P: the diagonal of `P`, positive; infinite where a coordinate does not move.

    Raises:
        LastbitError: the diagonal does not fit or is not positive.
    """

    def __init__(self, operator: SymmetricOperator, preconditioner_P: Tensor) -> None:
        super().__init__(operator.size, operator.dtype, operator.device)
        diagonal = _fitting(operator, preconditioner_P, "preconditioner")
        if not (diagonal > 0).all():
            raise LastbitError(f"a preconditioner must be positive everywhere, its smallest entry is {diagonal.min()}")
        self.operator = operator
        self.scale_P = diagonal.rsqrt()

    def _multiply(self, vectors_KP: Tensor) -> Tensor:
        return self.scale_P * self.operator.multiply_rows(self.scale_P * vectors_KP)


class ShiftedOperator(SymmetricOperator):
    """`A + diag(shift)`: the loss's operator with coupled weight decay added.

    Args:
        operator: `A`.
        shift: one number, or one per parameter `(P,)` where decay differs between groups.
    """

    def __init__(self, operator: SymmetricOperator, shift: float | Tensor) -> None:
        super().__init__(operator.size, operator.dtype, operator.device)
        self.operator = operator
        self.shift = _fitting(operator, shift, "shift") if isinstance(shift, Tensor) else float(shift)

    def _multiply(self, vectors_KP: Tensor) -> Tensor:
        return self.operator.multiply_rows(vectors_KP) + self.shift * vectors_KP


def _fitting(operator: SymmetricOperator, diagonal: Tensor, what: str) -> Tensor:
    if diagonal.shape not in ((), (operator.size,)):
        raise LastbitError(f"the {what} has shape {tuple(diagonal.shape)}, the operator has {operator.size} rows")
    if torch.isnan(diagonal).any():
        raise LastbitError(f"the {what} holds NaN")
    return diagonal.to(operator.device, operator.dtype)
