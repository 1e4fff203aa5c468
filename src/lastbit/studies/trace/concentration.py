"""Over how much of the network the difference is spread: while it grew most, and at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lastbit.dynamics import Episodes, participation_ratio
from lastbit.dynamics import gini as gini_of
from lastbit.studies.trace.judged import known

__all__ = ["Carriers", "Participation", "SpreadAt", "participation"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Carriers:
    """How evenly a number of carriers (tensors, filters, elements) hold the difference."""

    carriers: int
    participation: float | None
    """How many of them effectively hold it."""
    gini: float | None
    """0 for an even spread."""


@dataclass(frozen=True, kw_only=True)
class SpreadAt:
    """The spread at one step: over tensors the mean over twins, over filters and elements that of the first twin."""

    step: int
    probe_step: int
    """The nearest step at which filters and elements were looked at."""
    tensors: Carriers
    filters: Mapping[str, Carriers]
    """By convolution."""
    elements: Mapping[str, Carriers]
    """By tensor."""


@dataclass(frozen=True, kw_only=True)
class Participation:
    """The spread in the middle of the largest episode, where there is one, and at the last step."""

    while_growing: SpreadAt | None
    at_the_end: SpreadAt


def participation(arrays: Mapping[str, Array], episodes: Episodes) -> Participation:
    """Return over how much of the network the difference is spread."""
    longest = max(episodes.episodes, key=lambda episode: episode.rise, default=None)
    return Participation(
        while_growing=_spread(arrays, (longest.start + longest.end) // 2) if longest is not None else None,
        at_the_end=_spread(arrays, int(arrays["step"][-1])),
    )


def _spread(arrays: Mapping[str, Array], step: int) -> SpreadAt:
    at = int(np.argmin(np.abs(arrays["step"] - step)))
    probe = int(np.argmin(np.abs(arrays["probe_step"] - step)))
    energies = torch.from_numpy(np.nan_to_num(np.square(arrays["l2"][1:, at]), posinf=0.0))
    sizes = dict(zip(arrays["tensor"].tolist(), arrays["size"].tolist(), strict=True))
    counts = {name: int((arrays["filter_tensor"] == name).sum()) for name in arrays["convolution"].tolist()}

    def rows(kind: str, carriers: dict[str, int]) -> dict[str, Carriers]:
        ratios, ginis = arrays[f"{kind}_participation"][probe], arrays[f"{kind}_gini"][probe]
        return {
            name: Carriers(carriers=count, participation=known(ratios[i]), gini=known(ginis[i]))
            for i, (name, count) in enumerate(carriers.items())
        }

    return SpreadAt(
        step=int(arrays["step"][at]),
        probe_step=int(arrays["probe_step"][probe]),
        tensors=Carriers(
            carriers=len(sizes),
            participation=known(float(participation_ratio(energies).mean())),
            gini=known(float(gini_of(energies).mean())),
        ),
        filters=rows("filter", counts),
        elements=rows("element", sizes),
    )
