"""Where in the network a difference began, which tensors carried its growth, and over how much of it it is spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lastbit.dynamics.episodes import Episode, Episodes
from lastbit.dynamics.localise import gini, growth_split, participation_ratio
from lastbit.stats import jackknife_interval
from lastbit.studies.trace.judged import known

__all__ = [
    "Carriers",
    "Participation",
    "SpreadAt",
    "TensorGrowth",
    "growth_of_tensors",
    "growth_share_intervals",
    "participation",
]

_MEANS = ("relative_l2", "mean_relative_l1", "share_differing", "cosine")


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
        max_ulp: largest distance of two elements in units in the last place; None, as are the other measures of single
            elements, where only sketches of the weights are there.
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
    max_ulp: int | None
    share_differing: float | None
    cosine: float | None


def _growth_by_twin(arrays: Mapping[str, np.ndarray], episodes: Sequence[Episode]) -> np.ndarray:
    """Return each tensor's part of every twin's logarithmic growth within the episodes, (twins, tensors) in nats."""
    within = np.zeros(len(arrays["step"]) - 1, dtype=bool)
    for episode in episodes:
        within |= (arrays["step"][:-1] >= episode.start) & (arrays["step"][1:] <= episode.end)
    energies = torch.from_numpy(np.square(arrays["l2"][1:]))
    split = growth_split(energies[:, :-1], energies[:, 1:]).numpy()
    # A step from nothing at all to something has no logarithmic growth.
    found: np.ndarray = np.where(within[None, :, None] & np.isfinite(split), split, 0.0).sum(axis=1)
    return found


def growth_share_intervals(
    arrays: Mapping[str, np.ndarray], episodes: Sequence[Episode]
) -> list[tuple[float, float]] | None:
    """Return the 95% interval of each tensor's share of the growth, over the twins.

    Student's interval over the delete-one-twin jackknife of the ratio of sums; None where a single twin or nothing that
    grew leaves none.
    """
    by_twin = _growth_by_twin(arrays, episodes)
    whole = by_twin.sum(axis=0)
    left_out = whole - by_twin
    totals = left_out.sum(axis=1)
    if len(by_twin) < 2 or not (totals > 0).all():
        return None
    shares = (left_out / totals[:, None]).T
    return [jackknife_interval(*one) for one in zip((whole / whole.sum()).tolist(), shares, strict=True)]


def growth_of_tensors(arrays: Mapping[str, np.ndarray], episodes: Episodes) -> tuple[TensorGrowth, ...]:
    """Return what is known of each tensor, in the order of the network."""
    split = _growth_by_twin(arrays, episodes.episodes).mean(axis=0)
    total = float(split.sum())
    first = arrays["first_step"][1:]

    def row(i: int, name: str) -> TensorGrowth:
        seen = first[:, i][first[:, i] >= 0]

        return TensorGrowth(
            tensor=name,
            size=int(arrays["size"][i]),
            growth=float(split[i]),
            growth_share=float(split[i]) / total if total > 0 else None,
            first_step=int(seen.min()) if len(seen) else None,
            max_ulp=int(arrays["max_ulp"][1:, -1, i].max()) if "max_ulp" in arrays else None,
            **{name: known(arrays[name][1:, -1, i].mean()) if name in arrays else None for name in _MEANS},
        )

    return tuple(row(i, str(name)) for i, name in enumerate(arrays["tensor"]))


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
    probe_step: int | None
    """The nearest step at which filters and elements were looked at; None where they never were."""
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


def participation(arrays: Mapping[str, np.ndarray], episodes: Episodes) -> Participation:
    """Return over how much of the network the difference is spread."""
    longest = max(episodes.episodes, key=lambda episode: episode.rise, default=None)
    return Participation(
        while_growing=_spread(arrays, (longest.start + longest.end) // 2) if longest is not None else None,
        at_the_end=_spread(arrays, int(arrays["step"][-1])),
    )


def _spread(arrays: Mapping[str, np.ndarray], step: int) -> SpreadAt:
    at = int(np.argmin(np.abs(arrays["step"] - step)))
    probed = "probe_step" in arrays
    probe = int(np.argmin(np.abs(arrays["probe_step"] - step))) if probed else 0
    energies = torch.from_numpy(np.nan_to_num(np.square(arrays["l2"][1:, at]), posinf=0.0))
    sizes = dict(zip(arrays["tensor"].tolist(), arrays["size"].tolist(), strict=True))
    convolutions = arrays["convolution"].tolist() if probed else []
    counts = {name: int((arrays["filter_tensor"] == name).sum()) for name in convolutions}

    def rows(kind: str, carriers: dict[str, int]) -> dict[str, Carriers]:
        if not carriers:
            return {}
        ratios, ginis = arrays[f"{kind}_participation"][probe], arrays[f"{kind}_gini"][probe]
        return {
            name: Carriers(carriers=count, participation=known(ratios[i]), gini=known(ginis[i]))
            for i, (name, count) in enumerate(carriers.items())
        }

    return SpreadAt(
        step=int(arrays["step"][at]),
        probe_step=int(arrays["probe_step"][probe]) if probed else None,
        tensors=Carriers(
            carriers=len(sizes),
            participation=known(float(participation_ratio(energies).mean())),
            gini=known(float(gini(energies).mean())),
        ),
        filters=rows("filter", counts),
        elements=rows("element", sizes) if probed else {},
    )
