"""Where a difference lives: its concentration over tensors, over filters of a convolution, over elements.

With energies `e_i >= 0` (squared differences of the elements, summed over a filter or a tensor) of `n` carriers:

* participation ratio `PR = (sum e)² / sum e²`, between 1 (one carrier has everything) and `n` (all have the same): the
  effective number of carriers (Bell and Dean, Discussions of the Faraday Society 50, 1970); `PR / n` compares tensors
  of different size;
* Gini coefficient `G = sum_i (2i - n - 1) e_(i) / (n sum e)`, `e_(i)` ascending: 0 (all the same) … 1 - 1/n.

Both are 0 where there is no difference at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from lastbit.core.errors import LastbitError

__all__ = [
    "Concentration",
    "FirstDifference",
    "Localisation",
    "concentration",
    "filter_energies",
    "first_difference",
    "gini",
    "localisation",
    "participation_ratio",
]

# Axes: T tensors, F filters of one convolution, N elements; a leading ... is any (steps, twins).


@dataclass(frozen=True)
class Concentration:
    """How many of its carriers a difference is spread over, and how unevenly.

    Attributes:
        carriers: how many there are.
        participation: the participation ratio: how many of them effectively carry it.
        gini: the Gini coefficient.
    """

    carriers: int
    participation: float
    gini: float

    @property
    def share(self) -> float:
        """`participation / carriers`, 0 … 1."""
        return self.participation / self.carriers if self.carriers else 0.0


@dataclass(frozen=True)
class Localisation:
    """Where the difference between a base run and one twin lives at one step.

    Attributes:
        tensors: over tensors.
        elements: over elements, tensor by tensor.
        filters: over filters, convolution by convolution.
    """

    tensors: Concentration
    elements: dict[str, Concentration]
    filters: dict[str, Concentration]


@dataclass(frozen=True)
class FirstDifference:
    """Where a twin first left its base.

    Attributes:
        step: the first recorded step at which anything differs.
        tensor: of the tensors that differ there, the one that differs most, the earliest in the network on a tie.
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


def concentration(energies: Tensor) -> Concentration:
    """Return both measures of one set of energies (N,)."""
    return Concentration(energies.numel(), float(participation_ratio(energies)), float(gini(energies)))


def filter_energies(base: Mapping[str, Tensor], twin: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the energy of the difference per filter, float64 (F,), of every convolution weight.

    A convolution weight is a tensor of three axes or more, and its filters lie along the first, as in `torch.nn.Conv1d`
    to `Conv3d`. In a transposed convolution the first axis counts input channels.

    Raises:
        LastbitError: the two do not hold the same tensors.
    """
    return {name: x.flatten(1).sum(1) for name, x in _element_energies(base, twin).items() if x.ndim >= 3}


def localisation(base: Mapping[str, Tensor], twin: Mapping[str, Tensor]) -> Localisation:
    """Measure where the difference between `base` and `twin` lives.

    Raises:
        LastbitError: the two do not hold the same tensors.

    Example:
        >>> base = {"conv": torch.zeros(4, 1, 3, 3), "bias": torch.zeros(4)}
        >>> twin = {"conv": torch.zeros(4, 1, 3, 3), "bias": torch.zeros(4)}
        >>> twin["conv"][2] = 1e-3
        >>> found = localisation(base, twin)
        >>> found.tensors.participation, round(found.filters["conv"].participation, 12)
        (1.0, 1.0)
    """
    energies = _element_energies(base, twin)
    return Localisation(
        tensors=concentration(torch.stack([x.sum() for x in energies.values()])),
        elements={name: concentration(x.reshape(-1)) for name, x in energies.items()},
        filters={name: concentration(x) for name, x in filter_energies(base, twin).items()},
    )


def first_difference(steps: ArrayLike, difference: ArrayLike, names: Sequence[str]) -> FirstDifference | None:
    """Return where one twin first left its base, or None if it never did.

    Args:
        steps: recorded steps (S,), in order.
        difference: (S, T), 0 where a tensor is equal and more where it differs more, such as `relative_l2`; a NaN
            differs most.
        names: the tensors, in the order of the network.

    Raises:
        LastbitError: the shapes do not fit.

    Example:
        >>> first_difference([0, 5], [[0, 0], [1e-8, 2e-8]], ["conv", "head"])
        FirstDifference(step=5, tensor='head', tensors=('conv', 'head'))
    """
    s, d = np.asarray(steps), np.asarray(difference, dtype=np.float64)
    if d.shape != (s.size, len(names)):
        raise LastbitError(f"difference has shape {d.shape}: pass ({s.size}, {len(names)}), one per step and tensor")
    d = np.where(np.isnan(d), np.inf, np.abs(d))
    rows = np.flatnonzero(d.any(axis=1))
    if not rows.size:
        return None
    row = d[rows[0]]
    differing = tuple(str(name) for name, x in zip(names, row, strict=True) if x > 0)
    return FirstDifference(int(s[rows[0]]), str(names[int(row.argmax())]), differing)


def _element_energies(base: Mapping[str, Tensor], twin: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if {n: x.shape for n, x in base.items()} != {n: x.shape for n, x in twin.items()}:
        raise LastbitError("base and twin do not hold the same tensors: compare two states of one model")
    return {name: (twin[name].detach().double() - x.detach().double()).square() for name, x in base.items()}


def _scaled(energies: Tensor) -> Tensor:
    """Return energies as float64 relative to their largest, so that squaring neither overflows nor underflows."""
    e = energies.double()
    if not e.shape[-1]:
        return e
    top = e.amax(-1, keepdim=True)
    return e / torch.where(top > 0, top, 1.0)
