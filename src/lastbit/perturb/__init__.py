"""Perturbations of the size of the last bit, which attach to any optimizer through its hooks."""

from lastbit.perturb.base import Attachment, Identity, Perturbation
from lastbit.perturb.flip_ulp import FlipUlp
from lastbit.perturb.registry import PERTURBATIONS, make_perturbation
from lastbit.perturb.reorder_batch import ReorderBatch
from lastbit.perturb.rescale import Rescale
from lastbit.perturb.stochastic_rounding import StochasticRounding

__all__ = [
    "PERTURBATIONS",
    "Attachment",
    "FlipUlp",
    "Identity",
    "Perturbation",
    "ReorderBatch",
    "Rescale",
    "StochasticRounding",
    "make_perturbation",
]
