"""What C4 keeps of one training with one twin: when it grew beyond rounding, and which tensors and filters grew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from lastbit.core.plain import plain
from lastbit.dynamics.growth_over_steps import chance_half_shares, half_share
from lastbit.dynamics.localise import growth_split, participation_ratio
from lastbit.dynamics.trend import TOLERATED_RISE, fit_trend
from lastbit.studies.paper.traced import Arrays, floats
from lastbit.studies.trace.twins_found import TwinsFound

__all__ = ["CHANCE", "Grown", "Part", "from_plain", "kept", "spread"]

CHANCE = 0.05
"""Of divisions of the growth by chance, how many are as localised as a twin must be."""

_COLUMNS = 160
"""Steps at which the map of filters is kept, at most."""

_GROWN = 0.9
"""Of the growth: the map ends as long after it as it takes, for later nothing changes in it."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A tensor or a filter: how many weights it has, and how much of the growth it carried, nats."""

    name: str
    size: int
    growth: float


@dataclass(frozen=True, kw_only=True)
class Grown:
    """One twin.

    Attributes:
        seed: of its training.
        sound: whether the exact repeat agreed in every bit and the perturbation landed.
        steps: recorded, from the first after the branch.
        distance: relative L2 distance from the base at each.
        bound: what accumulated rounding explains there, in the same unit.
        still_growing: whether it is certain to rise, by more than 0.1 decades, over the last third.
        late_rise: fitted rise over the last third, decades.
        tensors: with their parts of the growth beyond the bound.
        filters: of all convolutions, likewise.
        map_steps: steps of the map.
        map_rows: of the convolution that grew most, each filter's relative difference at them.
        map_of: its name.
    """

    seed: int
    sound: bool
    steps: tuple[int, ...]
    distance: tuple[float, ...]
    bound: tuple[float, ...]
    still_growing: bool
    late_rise: float | None
    tensors: tuple[Part, ...]
    filters: tuple[Part, ...]
    map_steps: tuple[int, ...] = ()
    map_rows: tuple[tuple[float, ...], ...] = ()
    map_of: str = ""

    @property
    def spans(self) -> tuple[int, ...]:
        """Steps between neighbouring records."""
        return tuple(int(m) for m in np.diff(self.steps))

    @property
    def gains(self) -> tuple[float, ...]:
        """Growth beyond the bound over each of them, nats: of the running maximum, so that scatter does not count."""
        return tuple(_gains(np.array(self.distance), np.array(self.bound)).tolist())

    @property
    def left(self) -> bool:
        """Whether it ever left the bound."""
        return sum(self.gains) > 0

    @property
    def half(self) -> float | None:
        """Share of the steps that holds half of the growth."""
        return half_share(self.spans, self.gains)

    @property
    def half_by_chance(self) -> float:
        """What one in twenty divisions by chance is below."""
        return _by_chance(self.spans)

    @property
    def localised_in_time(self) -> bool:
        """Whether the growth is in fewer steps than that."""
        return self.half is not None and self.half < self.half_by_chance


def spread(parts: Sequence[Part]) -> float | None:
    """Return the effective number of parts that grew over that of growth in proportion to their weights."""
    growth = torch.tensor([max(part.growth, 0.0) for part in parts], dtype=torch.float64)
    even = float(participation_ratio(torch.tensor([float(part.size) for part in parts], dtype=torch.float64)))
    return float(participation_ratio(growth)) / even if even and float(growth.sum()) > 0 else None


@cache
def _by_chance(spans: tuple[int, ...]) -> float:
    return float(np.quantile(chance_half_shares(spans, draws=1000), CHANCE))


def _gains(distance: np.ndarray, bound: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        beyond = np.log(distance / bound)
    # What is not finite ends the record: the growth until then counts.
    beyond = np.where(np.isfinite(beyond), np.maximum(beyond, 0.0), 0.0)
    return np.diff(np.maximum.accumulate(beyond))


def kept(found: TwinsFound, arrays: Arrays) -> Mapping[str, Any]:
    """Return what is kept of a training with one twin."""
    steps, norm = arrays["step"][1:], arrays["all_norm"][1:]
    distance, bound = arrays["all_l2"][1, 1:] / norm, arrays["rounding_bound"][1:] / norm
    growing = _gains(distance, bound) > 0
    tensors = _parts(arrays["l2"][1, 1:], growing)
    filters = _parts(arrays["filter_l2"][1:], growing)
    sizes = dict(zip(arrays["tensor"].tolist(), arrays["size"].tolist(), strict=True))
    of = arrays["filter_tensor"].tolist()
    count = {name: of.count(name) for name in set(of)}
    rows = zip(of, arrays["filter_index"].tolist(), filters, strict=True)
    still, rise = _late(steps, distance)
    numbers: Mapping[str, Any] = plain(
        {
            "sound": not found.silent,
            "steps": steps,
            "distance": distance,
            "bound": bound,
            "still_growing": still,
            "late_rise": rise,
            "tensors": [[name, size, g] for (name, size), g in zip(sizes.items(), tensors, strict=True)],
            "filters": [[f"{name}[{index}]", sizes[name] // count[name], g] for name, index, g in rows],
            **_map(arrays, of, filters, _window(_gains(distance, bound))),
        }
    )
    return numbers


def from_plain(seed: int, one: Mapping[str, Any]) -> Grown:
    """Return what was kept, given how JSON holds it."""
    parts = {
        key: tuple(Part(name=name, size=size, growth=growth) for name, size, growth in one[key])
        for key in ("tensors", "filters")
    }
    return Grown(
        seed=seed,
        sound=one["sound"],
        steps=tuple(one["steps"]),
        distance=floats(one["distance"]),
        bound=floats(one["bound"]),
        still_growing=one["still_growing"],
        late_rise=one["late_rise"],
        map_steps=tuple(one["map_steps"]),
        map_rows=tuple(map(floats, one["map_rows"])),
        map_of=one["map_of"],
        **parts,
    )


def _parts(distances: np.ndarray, growing: np.ndarray) -> list[float]:
    """Return each carrier's part of the logarithmic growth, over the records in which the twin grew beyond rounding."""
    energies = torch.from_numpy(np.square(distances.astype(np.float64)))
    split = growth_split(energies[:-1], energies[1:]).numpy()
    found: list[float] = np.where(growing[:, None] & np.isfinite(split), split, 0.0).sum(axis=0).tolist()
    return found


def _late(steps: np.ndarray, distance: np.ndarray) -> tuple[bool, float | None]:
    """Tell whether a twin still grows over the last third, and by how many decades it does."""
    late = steps >= 2 / 3 * steps[-1]
    if not np.isfinite(distance[late]).all():
        return True, None
    if late.sum() < 4 or not (distance[late] > 0).all():
        return False, None
    trend, third = fit_trend(steps[late], np.log(distance[late]), level=0.99), float(np.ptp(steps[late]))
    return trend.grows(third, TOLERATED_RISE * math.log(10)), trend.slope * third / math.log(10)


def _window(gains: np.ndarray) -> tuple[int, int]:
    """Return the first and the last record of the map: around the growth, with as much before and after it."""
    if not gains.sum() > 0:
        return 1, len(gains) + 1
    first, grown = int(np.argmax(gains > 0)), int(np.argmax(np.cumsum(gains) >= _GROWN * gains.sum()))
    margin = grown - first + 1
    return max(first + 1 - margin, 1), min(grown + 2 + margin, len(gains) + 1)


def _map(arrays: Arrays, of: list[str], growth: list[float], window: tuple[int, int]) -> dict[str, Any]:
    """Return the differences of the filters of the convolution that grew most, over a window of records."""
    if not of:
        return {"map_steps": [], "map_rows": [], "map_of": ""}
    most = max(dict.fromkeys(of), key=lambda name: sum(g for place, g in zip(of, growth, strict=True) if place == name))
    at = np.unique(np.linspace(*window, _COLUMNS).astype(int))
    rows = np.flatnonzero(np.array(of) == most)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = arrays["filter_l2"][np.ix_(at, rows)] / arrays["filter_norm"][np.ix_(at, rows)]
    shown = np.where(relative > 0, relative, np.nan).T
    return {"map_steps": arrays["step"][at], "map_rows": shown, "map_of": most}
