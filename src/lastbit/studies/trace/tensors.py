"""Which tensors a difference began in, which of them carried its growth, and how far each has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lastbit.dynamics import Episodes, FirstDifference, first_difference, growth_split
from lastbit.studies.trace.judged import known

__all__ = ["TensorGrowth", "growth_of_tensors", "where_it_began"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class TensorGrowth:
    """One tensor: its part of the growth, and its measures at the last step (means over twins, the largest for ulps).

    Attributes:
        tensor: its name.
        size: its elements.
        growth: its part of the logarithmic growth of the whole difference within the episodes, nats, mean over twins
            (`dynamics.growth_split`: the parts add up to the whole).
        growth_share: the same, relative to the whole; None where nothing grew.
        first_step: where a twin first differed in it, None where none ever did.
        relative_l2: L2 difference relative to the tensor's norm.
        mean_relative_l1: mean over elements of `2 |a - b| / (|a| + |b|)`.
        max_ulp: largest distance of two elements in units in the last place.
        share_differing: share of its elements that differ.
        cosine: distance of the directions.
    """

    tensor: str
    size: int
    growth: float
    growth_share: float | None
    first_step: int | None
    relative_l2: float | None
    mean_relative_l1: float | None
    max_ulp: int
    share_differing: float | None
    cosine: float | None


def growth_of_tensors(arrays: Mapping[str, Array], episodes: Episodes) -> tuple[TensorGrowth, ...]:
    """Return what is known of each tensor, in the order of the network."""
    within = np.zeros(len(arrays["step"]) - 1, dtype=bool)
    for episode in episodes.episodes:
        within |= (arrays["step"][:-1] >= episode.start) & (arrays["step"][1:] <= episode.end)
    energies = torch.from_numpy(np.square(arrays["l2"][1:]))
    split = growth_split(energies[:, :-1], energies[:, 1:]).numpy()
    # A step from nothing at all to something has no logarithmic growth.
    split = np.where(within[None, :, None] & np.isfinite(split), split, 0.0).sum(axis=1).mean(axis=0)
    total = float(split.sum())
    first = arrays["first_step"][1:]

    def row(i: int, name: str) -> TensorGrowth:
        seen = first[:, i][first[:, i] >= 0]

        def mean(measure: str) -> float | None:
            return known(arrays[measure][1:, -1, i].mean())

        return TensorGrowth(
            tensor=name,
            size=int(arrays["size"][i]),
            growth=float(split[i]),
            growth_share=float(split[i]) / total if total > 0 else None,
            first_step=int(seen.min()) if len(seen) else None,
            relative_l2=mean("relative_l2"),
            mean_relative_l1=mean("mean_relative_l1"),
            max_ulp=int(arrays["max_ulp"][1:, -1, i].max()),
            share_differing=mean("share_differing"),
            cosine=mean("cosine"),
        )

    return tuple(row(i, str(name)) for i, name in enumerate(arrays["tensor"]))


def where_it_began(arrays: Mapping[str, Array]) -> FirstDifference | None:
    """Return the first recorded step at which a perturbed twin differs, and the tensor that differs most there."""
    names = [str(name) for name in arrays["tensor"]]
    found = [first_difference(arrays["step"], twin, names) for twin in arrays["relative_l2"][1:]]
    there = [first for first in found if first is not None]
    if not there:
        return None
    first = min(there, key=lambda one: one.step)
    tensors = [name for name in names if any(name in one.tensors for one in there if one.step == first.step)]
    return FirstDifference(first.step, first.tensor, tuple(tensors))
