"""Benettin's renormalisation of the twin itself: when it has left its base, it is brought back along the difference.

With `δ = twin - base`, over the weights and the optimizer's buffers alike, the twin is set to `base + s δ` when the
relative L2 distance of the weights passes `THRESHOLD`, with `s` such that it becomes `FRESH u`, where `u` is the unit
roundoff of the weights (Benettin, Galgani, Giorgilli and Strelcyn, Meccanica 15, 1980). The growth goes on from there
on the linear scale, and the logarithms `-ln s` add up to what was taken away. Storing `base + s δ` rounds it to the
weights' format: of a difference of `FRESH` roundoffs that changes about a thousandth, which is the error of one
renormalisation's growth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from lastbit.dynamics.rounding import unit_roundoff
from lastbit.train.training import Training

__all__ = ["FRESH", "LONGEST_STRIDE", "THRESHOLD", "relative_distance", "renormalise"]

THRESHOLD = 1e-3
"""Relative L2 distance from which on twins are no longer taken for infinitesimally close."""

FRESH = 1e3
"""Distance after a renormalisation, in unit roundoffs."""

LONGEST_STRIDE = 4
"""Steps between two looks at the distance: it may pass the threshold by the growth of so many."""


def _pairs(base: Training, twin: Training) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield weights and the optimizers' buffers of the same shape, base and twin."""
    here, there = (
        [(one, p) for one in training.optimizers.values() for group in one.param_groups for p in group["params"]]
        for training in (base, twin)
    )
    for (one, a), (two, b) in zip(here, there, strict=True):
        yield a, b
        mine, other = one.state.get(a, {}), two.state.get(b, {})
        for name, value in mine.items():
            if isinstance(value, Tensor) and value.is_floating_point() and value.shape == a.shape:
                yield value, other[name]


@torch.no_grad()
def relative_distance(base: Training, twin: Training) -> float:
    """Return the relative L2 distance over all trained weights."""
    square = norm = 0.0
    for a, b in zip(base.model.parameters(), twin.model.parameters(), strict=True):
        if a.requires_grad:
            square += float((b.double() - a.double()).square().sum())
            norm += float(a.double().square().sum())
    return math.sqrt(square / norm) if norm else 0.0


@torch.no_grad()
def renormalise(base: Training, twin: Training) -> float:
    """Bring `twin` back to `base` if it has left it, and return `-ln s`; 0 where it has not.

    An average that must not be negative, as Adam's `v`, stays so: it lies between two that are not.
    """
    distance = relative_distance(base, twin)
    if not THRESHOLD < distance < math.inf:
        return 0.0
    first = next(p for p in base.model.parameters() if p.requires_grad)
    scale = FRESH * unit_roundoff(first.dtype) / distance
    for a, b in _pairs(base, twin):
        b.copy_(a.double() + scale * (b.double() - a.double()))
    return -math.log(scale)
