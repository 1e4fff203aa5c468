"""How a difference grew along the training: its one curve, the largest jumps, and the tangent beside the twins.

Where a unit or a pooling window switches, the network's outputs hardly change but the gradient of what lies below does:
the difference jumps there in one step, in the tensors up to that layer and in none beyond. So the last tensor of a
jump says how deep in the network it happened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lastbit.dynamics.growth_over_steps import half_share

__all__ = [
    "Jump",
    "TangentRate",
    "WhileSmall",
    "half_of_growth",
    "largest_jumps",
    "mean_distance",
    "tangent_rate",
    "twin_names",
]

LEAST = math.log(10)
"""Growth between two neighbouring records, in nats, from which on it is called a jump: a factor 10."""

SMALL = 1e-3
"""Relative L2 distance up to which twins grow as the tangent does."""


def mean_distance(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the geometric mean over perturbed twins of the L2 distance over all weights (S,), 0 where none differs.

    Twins that do not differ (yet) at a step are left out there. What renormalisation took away is put back.
    """
    d = arrays["all_l2"][1:] * np.exp(arrays["log_removed"][1:])
    positive = d > 0
    with np.errstate(invalid="ignore"):
        logs = np.log(np.where(positive | np.isnan(d), d, 1.0)).sum(axis=0) / np.maximum(positive.sum(axis=0), 1)
    return np.where(positive.any(axis=0) | np.isnan(d).any(axis=0), np.exp(logs), 0.0)


def twin_names(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Return what the twins are called, the exact repeat first."""
    known = arrays.get("twin")
    return ["repeat", *(f"twin{i}" for i in range(1, len(arrays["all_l2"])))] if known is None else known.tolist()


def half_of_growth(arrays: Mapping[str, np.ndarray]) -> float | None:
    """Return the share of steps that holds half of all growth, the fastest first: how localised it is in time.

    Median over perturbed twins; growth is that of the running maximum of the distance, on a logarithmic scale, so that
    the scatter about a level does not count; steps count from the first at which the twin differs. Even exponential
    growth all along gives one half (`dynamics.growth_over_steps`).
    """
    shares = []
    for distance, removed in zip(arrays["all_l2"][1:], arrays["log_removed"][1:], strict=True):
        use = np.flatnonzero(np.isfinite(distance) & (distance > 0))
        if len(use) < 3:
            continue
        spans = np.diff(arrays["step"][use]).astype(np.float64)
        gains = np.diff(np.maximum.accumulate(np.log(distance[use]) + removed[use]))
        share = half_share(spans, gains)
        shares += [] if share is None else [share]
    return float(np.median(shares)) if shares else None


@dataclass(frozen=True, kw_only=True)
class Jump:
    """The growth of one twin between two neighbouring records.

    Attributes:
        twin: which one.
        start: the record before.
        end: the record after.
        factor: by which the whole difference grew.
        tensors: those whose own difference grew by at least the square root of that, in the order of the network.
        last: the last of them.
    """

    twin: str
    start: int
    end: int
    factor: float
    tensors: tuple[str, ...]
    last: str | None


def largest_jumps(arrays: Mapping[str, np.ndarray]) -> tuple[Jump, ...]:
    """Return for each perturbed twin its largest growth between two neighbouring records, where it is a jump.

    The first appearance of a difference is none, and neither is growth below the rounding of a single step, nor, of
    runs that were recorded by themselves, growth over more than a 64th of the steps so far.
    """
    found = []
    floor = float(arrays["single_rounding"][0])
    names, steps = twin_names(arrays), arrays["step"]
    # Separate runs may have recorded so few steps that steady growth passes for a jump from one to the next.
    near = np.diff(steps) <= np.maximum(steps[1:] / 64, 1) if "interval" in arrays else True
    for twin in range(1, arrays["all_l2"].shape[0]):
        distance, removed = arrays["all_l2"][twin], arrays["log_removed"][twin]
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(np.maximum(distance, floor)) + removed
            gains = np.where(near & np.isfinite(distance[1:]) & (distance[:-1] > 0), np.diff(logs), -np.inf)
        if not len(gains) or not gains.max() > LEAST:
            continue
        at = int(np.argmax(gains))
        before, after = arrays["l2"][twin, at], arrays["l2"][twin, at + 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            grown = np.where(after > 0, np.log(after) - np.log(before), -np.inf) + removed[at + 1] - removed[at]
        tensors = tuple(str(n) for n, gain in zip(arrays["tensor"], grown, strict=True) if gain >= gains[at] / 2)
        found.append(
            Jump(
                twin=str(names[twin]),
                start=int(arrays["step"][at]),
                end=int(arrays["step"][at + 1]),
                factor=float(np.exp(min(gains[at], 700.0))),
                tensors=tensors,
                last=tensors[-1] if tensors else None,
            )
        )
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class WhileSmall:
    """Twins and tangent over the same steps, nats per step."""

    start: int
    end: int
    twin_rate: float
    tangent_rate: float
    relative_difference: float
    """Of the tangent's growth from the twins'."""


@dataclass(frozen=True, kw_only=True)
class TangentRate:
    """The growth rate of the tangent, nats per step.

    Attributes:
        rate: over the whole run.
        rate_second_half: without the first half, in which the tangent turns towards the direction that grows most.
        steps: how many steps it was followed.
        log_growth: nats in all.
        split: its parts, by tensor.
        while_small: beside the twins; None where they do not grow by at least 1 nat while they are small.
    """

    rate: float
    rate_second_half: float
    steps: int
    log_growth: float
    split: Mapping[str, float]
    while_small: WhileSmall | None


def tangent_rate(arrays: Mapping[str, np.ndarray]) -> TangentRate | None:
    """Return the growth rate of the tangent, None where none was carried."""
    if "tangent_step" not in arrays or not len(arrays["tangent_step"]):
        return None
    growth = arrays["tangent_log_growth"]
    names = [str(name) for name in arrays["tangent_tensor"]]
    split = arrays["tangent_split"].astype(np.float64).sum(axis=0)
    return TangentRate(
        rate=float(growth.mean()),
        rate_second_half=float(growth[len(growth) // 2 :].mean()),
        steps=len(growth),
        log_growth=float(growth.sum()),
        split=dict(zip(names, split.tolist(), strict=True)),
        while_small=_while_small(arrays, growth),
    )


def _while_small(arrays: Mapping[str, np.ndarray], growth: np.ndarray) -> WhileSmall | None:
    """Compare from the first recorded step at which twins are a hundred roundings apart to the last before `SMALL`."""
    distance, steps = mean_distance(arrays), arrays["tangent_step"]
    relative = distance / arrays["all_norm"]
    low = 100 * float(arrays["single_rounding"][0]) / float(arrays["all_norm"][0])
    start = np.flatnonzero(relative >= low)
    if not len(start):
        return None
    past = np.flatnonzero(~(relative[start[0] :] < SMALL))
    end = start[0] + (past[0] if len(past) else len(relative) - start[0]) - 1
    if end <= start[0]:
        return None
    first, last = int(arrays["step"][start[0]]), int(arrays["step"][end])
    grown = math.log(float(distance[end] / distance[start[0]]))
    inside = (steps > first) & (steps <= last)
    if grown < 1 or inside.sum() < last - first:
        return None
    tangent = float(growth[inside].sum())
    return WhileSmall(
        start=first,
        end=last,
        twin_rate=grown / (last - first),
        tangent_rate=tangent / (last - first),
        relative_difference=tangent / grown - 1,
    )
