"""Hessian products, extreme eigenpairs, spectral density, and the stability limits of live optimizers.

The room takes a model, a loss function and a batch, never a trainer. A measurement leaves the model, its gradients and
the random generators as it found them.
"""

from lastbit.curvature.batches import ModelLoss
from lastbit.curvature.eigen import Eigenpairs, top_eigenpairs
from lastbit.curvature.limits import GroupLimit, LinearUpdate, StabilityLimit, register_linear_update, stability_limit
from lastbit.curvature.operators import (
    BlockOperator,
    DenseOperator,
    GaussNewtonOperator,
    HessianOperator,
    PreconditionedOperator,
    ShiftedOperator,
    SymmetricOperator,
)
from lastbit.curvature.parameters import ParameterSpace, blocks_by_group, blocks_by_module, blocks_by_tensor

__all__ = [
    "BlockOperator",
    "DenseOperator",
    "Eigenpairs",
    "GaussNewtonOperator",
    "GroupLimit",
    "HessianOperator",
    "LinearUpdate",
    "ModelLoss",
    "ParameterSpace",
    "PreconditionedOperator",
    "ShiftedOperator",
    "StabilityLimit",
    "SymmetricOperator",
    "blocks_by_group",
    "blocks_by_module",
    "blocks_by_tensor",
    "register_linear_update",
    "stability_limit",
    "top_eigenpairs",
]
