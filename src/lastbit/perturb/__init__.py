"""Perturbations of the size of the last bit, which attach to any optimizer through its hooks."""

from lastbit.perturb._base import Attachment, Perturbation
from lastbit.perturb._direction import Direction
from lastbit.perturb._directions import register_direction
from lastbit.perturb._flip_ulp import FlipUlp
from lastbit.perturb._identity import Identity
from lastbit.perturb._registry import PERTURBATIONS, make_perturbation
from lastbit.perturb._reorder_batch import ReorderBatch
from lastbit.perturb._rescale import Rescale
from lastbit.perturb._step import OptimizerStep
from lastbit.perturb._stochastic_rounding import StochasticRounding

__all__ = [
    "PERTURBATIONS",
    "Attachment",
    "Direction",
    "FlipUlp",
    "Identity",
    "OptimizerStep",
    "Perturbation",
    "ReorderBatch",
    "Rescale",
    "StochasticRounding",
    "make_perturbation",
    "register_direction",
]
