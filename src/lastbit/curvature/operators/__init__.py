"""Symmetric operators known by their products: Hessian, Gauss–Newton, preconditioned, shifted, blocks."""

from lastbit.curvature.operators.base import SymmetricOperator
from lastbit.curvature.operators.dense import BlockOperator, DenseOperator
from lastbit.curvature.operators.diagonal import PreconditionedOperator, ShiftedOperator
from lastbit.curvature.operators.gauss_newton import GaussNewtonOperator
from lastbit.curvature.operators.hessian import HessianOperator

__all__ = [
    "BlockOperator",
    "DenseOperator",
    "GaussNewtonOperator",
    "HessianOperator",
    "PreconditionedOperator",
    "ShiftedOperator",
    "SymmetricOperator",
]
