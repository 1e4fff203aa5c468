"""Where a difference lives, over tensors, filters and elements, and the exact split of its growth between two steps.

With energies `e_i >= 0` (squared differences of the elements, summed over a filter or a tensor) of `n` carriers:

* participation ratio `PR = (sum e)² / sum e²`, between 1 (one carrier has everything) and `n` (all have the same): the
  effective number of carriers (Bell and Dean, Discussions of the Faraday Society 50, 1970); `PR / n` compares tensors
  of different size;
* Gini coefficient `G = sum_i (2i - n - 1) e_(i) / (n sum e)`, `e_(i)` ascending: 0 (all the same) … 1 - 1/n.

Both are 0 where there is no difference at all.

Let `e_T` be the energy (squared L2 norm) of the difference in tensor `T`. The difference as a whole grows by

    g = ln(|δ'| / |δ|) = 1/2 ln(sum_T e'_T / sum_T e_T)      nats.

With the logarithmic mean `M(a, b) = (b - a) / ln(b/a)` (and `M(a, a) = a`) of the two totals,

    g = sum_T c_T,    c_T = (e'_T - e_T) / (2 M(sum e, sum e')),

so each tensor's contribution is its own energy change over one common denominator: contributions add up to `g` exactly,
in any grouping of tensors (filters, layers), and stay finite where `g` is near 0. This is the logarithmic mean Divisia
decomposition (Ang, "The LMDI approach to decomposition analysis", Energy Policy 33, 2005).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from lastbit.core.errors import LastbitError

__all__ = ["FirstDifference", "first_difference", "gini", "growth_split", "log_growth", "participation_ratio"]

# Axes: S steps, T tensors, N carriers; a leading ... is any (steps, twins).


@dataclass(frozen=True)
class FirstDifference:
    """Where a twin first left its base.

    Attributes:
        step: the first recorded step at which anything differs.
        tensor: of the tensors that differ there, the one that differs most in the first twin that does, the earliest in
            the network on a tie.
        tensors: all that differ there, in the order of the network.
    """

    step: int
    tensor: str
    tensors: tuple[str, ...]


def participation_ratio(energies: Tensor) -> Tensor:
    """Return `(sum e)² / sum e²` over the last axis, float64 (...).

    Example:
        >>> participation_ratio(torch.tensor([[1.0, 1.0, 1.0], [5.0, 0.0, 0.0], [0.0, 0.0, 0.0]])).tolist()
        [3.0, 1.0, 0.0]
    """
    e = _scaled(energies)
    return e.sum(-1).square() / e.square().sum(-1).clamp(min=torch.finfo(torch.float64).tiny)


def gini(energies: Tensor) -> Tensor:
    """Return the Gini coefficient over the last axis, float64 (...).

    Example:
        >>> gini(torch.tensor([[1.0, 1.0, 1.0, 1.0], [5.0, 0.0, 0.0, 0.0]])).tolist()
        [0.0, 0.75]
    """
    e, _ = _scaled(energies).sort(-1)
    count = e.shape[-1]
    rank = torch.arange(1, count + 1, dtype=torch.float64, device=e.device)
    total = count * e.sum(-1)
    top = ((2 * rank - count - 1) * e).sum(-1)
    return torch.where(total > 0, top / torch.where(total > 0, total, 1.0), 0.0)


def first_difference(steps: ArrayLike, difference: ArrayLike, names: Sequence[str]) -> FirstDifference | None:
    """Return where a twin first left its base, or None if none ever did.

    Args:
        steps: recorded steps (S,), in order.
        difference: (S, T), or (K, S, T) of several twins, 0 where a tensor is equal and more where it differs more,
            such as `relative_l2`; a NaN differs most.
        names: the tensors, in the order of the network.

    Raises:
        LastbitError: the shapes do not fit.

    Example:
        >>> first_difference([0, 5], [[0, 0], [1e-8, 2e-8]], ["conv", "head"])
        FirstDifference(step=5, tensor='head', tensors=('conv', 'head'))
    """
    s, d = np.asarray(steps), np.asarray(difference, dtype=np.float64)
    if d.shape[-2:] != (s.size, len(names)):
        raise LastbitError(f"difference has shape {d.shape}: pass ({s.size}, {len(names)}), one per step and tensor")
    d_KST = np.where(np.isnan(d), np.inf, np.abs(d)).reshape(-1, s.size, len(names))
    rows = np.flatnonzero(d_KST.any(axis=(0, 2)))
    if not rows.size:
        return None
    at_KT = d_KST[:, rows[0]]
    first_T = at_KT[np.argmax(at_KT.any(axis=1))]
    differing = tuple(str(name) for name, apart in zip(names, at_KT.T, strict=True) if apart.any())
    return FirstDifference(int(s[rows[0]]), str(names[int(first_T.argmax())]), differing)


def _scaled(energies: Tensor) -> Tensor:
    """Return energies as float64 relative to their largest, so that squaring neither overflows nor underflows."""
    e = energies.double()
    if not e.shape[-1]:
        return e
    top = e.amax(-1, keepdim=True)
    return e / torch.where(top > 0, top, 1.0)


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
