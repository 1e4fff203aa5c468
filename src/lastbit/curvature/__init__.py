"""Hessian products, extreme eigenpairs, spectral density, and the stability limits of live optimizers.

The room takes a model, a loss function and a batch, never a trainer. A measurement leaves the model, its gradients and
the random generators as it found them.
"""

from lastbit.curvature.batches import ModelLoss, NotFiniteError
from lastbit.curvature.density import SpectralDensity, spectral_density
from lastbit.curvature.effective import EffectiveHessian, optimized_parameters
from lastbit.curvature.eigen import Eigenpairs, top_eigenpairs
from lastbit.curvature.hessian import GaussNewtonOperator, HessianOperator
from lastbit.curvature.layers import LayerStability, StableLearningRates, stable_learning_rates
from lastbit.curvature.limits import GroupLimit, StabilityLimit, stability_limit
from lastbit.curvature.monitor import StabilityMonitor
from lastbit.curvature.operators import DenseOperator, PreconditionedOperator, ShiftedOperator, SymmetricOperator
from lastbit.curvature.parameters import ParameterSpace, blocks_by_group, blocks_by_module, blocks_by_tensor
from lastbit.curvature.record import StabilityRecord
from lastbit.curvature.stochastic import batch_sharpness, trace

__all__ = [
    "DenseOperator",
    "EffectiveHessian",
    "Eigenpairs",
    "GaussNewtonOperator",
    "GroupLimit",
    "HessianOperator",
    "LayerStability",
    "ModelLoss",
    "NotFiniteError",
    "ParameterSpace",
    "PreconditionedOperator",
    "ShiftedOperator",
    "SpectralDensity",
    "StabilityLimit",
    "StabilityMonitor",
    "StabilityRecord",
    "StableLearningRates",
    "SymmetricOperator",
    "batch_sharpness",
    "blocks_by_group",
    "blocks_by_module",
    "blocks_by_tensor",
    "optimized_parameters",
    "spectral_density",
    "stability_limit",
    "stable_learning_rates",
    "top_eigenpairs",
    "trace",
]
