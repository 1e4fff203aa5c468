"""The growth of the tangent, and beside it that of the twins while they are small enough to grow as it does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lastbit.studies.trace.curve import mean_distance

__all__ = ["TangentRate", "WhileSmall", "tangent_rate"]

Array = np.ndarray[Any, Any]

SMALL = 1e-3
"""Relative L2 distance up to which twins grow as the tangent does."""


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


def tangent_rate(arrays: Mapping[str, Array]) -> TangentRate | None:
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


def _while_small(arrays: Mapping[str, Array], growth: Array) -> WhileSmall | None:
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
