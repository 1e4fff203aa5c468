"""Logarithmic growth of a difference between two steps, and its exact split over tensors.

Let `e_T` be the energy (squared L2 norm) of the difference in tensor `T`. The difference as a whole grows by

    g = ln(|δ'| / |δ|) = 1/2 ln(sum_T e'_T / sum_T e_T)      nats.

With the logarithmic mean `M(a, b) = (b - a) / ln(b/a)` (and `M(a, a) = a`) of the two totals,

    g = sum_T c_T,    c_T = (e'_T - e_T) / (2 M(sum e, sum e')),

so each tensor's contribution is its own energy change over one common denominator: contributions add up to `g` exactly,
in any grouping of tensors (filters, layers), and stay finite where `g` is near 0. This is the logarithmic mean Divisia
decomposition (Ang, "The LMDI approach to decomposition analysis", Energy Policy 33, 2005).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["growth_split", "log_growth"]


def log_growth(before: Tensor, after: Tensor) -> Tensor:
    """Return `g` from energies (..., T) before and after.

    It is -inf where all energy vanished and NaN where there was nothing to grow.

    Example:
        >>> float(log_growth(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])))
        0.0
    """
    first, second = before.sum(-1), after.sum(-1)
    growth = 0.5 * _log_ratio(first, second)
    return torch.where(first > 0, growth, torch.full_like(growth, float("nan")))


def growth_split(before: Tensor, after: Tensor) -> Tensor:
    """Return the contributions `c_T` (..., T) in nats; they sum to `log_growth(before, after)`.

    Where all energy vanished (`g = -inf`) each tensor that had any gets -inf, and NaN where there was nothing to grow.

    Example:
        >>> split = growth_split(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 3.0]))
        >>> [round(c, 4) for c in split.tolist()]  # all of ln(sqrt(2)) in the second tensor
        [0.0, 0.3466]
    """
    first, second = before.sum(-1, keepdim=True), after.sum(-1, keepdim=True)
    change = _log_ratio(first, second)
    # M = first expm1(change) / change, in a form that is right as change goes to 0.
    ratio = torch.where(change.abs() > 1e-300, change.expm1() / change, torch.ones_like(change))
    split = (after - before) / (2 * first * ratio)
    gone = torch.where(before > 0, float("-inf"), 0.0).to(split.dtype)
    split = torch.where(second == 0, gone, split)
    return torch.where(first > 0, split, torch.full_like(split, float("nan")))


def _log_ratio(first: Tensor, second: Tensor) -> Tensor:
    """Return `ln(second / first)`, accurate where the two are close and where they are far apart."""
    relative = (second - first) / first
    return torch.where(relative.abs() < 0.5, relative.log1p(), (second / first).log())
