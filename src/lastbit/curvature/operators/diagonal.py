"""Operators scaled and shifted by diagonal matrices: the preconditioned Hessian and its weight decay."""

from __future__ import annotations

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.curvature.operators.base import SymmetricOperator

__all__ = ["PreconditionedOperator", "ShiftedOperator"]


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
