"""Hessian products, extreme eigenpairs, spectral density, and the stability limits of live optimizers.

The room takes a model, a loss function and a batch, never a trainer. A measurement leaves the model, its gradients and
the random generators as it found them.
"""

from lastbit.curvature.batches import ModelLoss, NotFiniteError
from lastbit.curvature.decomposition import batch_scale
from lastbit.curvature.effective import EffectiveHessian, optimized_parameters
from lastbit.curvature.eigen import top_eigenpairs
from lastbit.curvature.hessian import GaussNewtonOperator, HessianOperator
from lastbit.curvature.layers import LayerStability, StableLearningRates, stable_learning_rates
from lastbit.curvature.limits import stability_limit
from lastbit.curvature.monitor import StabilityMonitor, StabilityRecord
from lastbit.curvature.operators import DenseOperator
from lastbit.curvature.parameters import blocks_by_module, blocks_by_tensor
from lastbit.curvature.stochastic import batch_sharpness, spectral_density, trace

__all__ = [
    "DenseOperator",
    "EffectiveHessian",
    "GaussNewtonOperator",
    "HessianOperator",
    "LayerStability",
    "ModelLoss",
    "NotFiniteError",
    "StabilityMonitor",
    "StabilityRecord",
    "StableLearningRates",
    "batch_scale",
    "batch_sharpness",
    "blocks_by_module",
    "blocks_by_tensor",
    "optimized_parameters",
    "spectral_density",
    "stability_limit",
    "stable_learning_rates",
    "top_eigenpairs",
    "trace",
]
