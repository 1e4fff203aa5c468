"""The largest jump of each twin: the step in which it left its base fastest, and the tensors that left with it.

Where a unit or a pooling window switches, the network's outputs hardly change but the gradient of what lies below does:
the difference jumps there in one step, in the tensors up to that layer and in none beyond. So the last tensor of a
jump says how deep in the network it happened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Jump", "largest_jumps"]

Array = np.ndarray[Any, Any]

LEAST = math.log(10)
"""Growth between two neighbouring records, in nats, from which on it is called a jump: a factor 10."""


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


def largest_jumps(arrays: Mapping[str, Array]) -> tuple[Jump, ...]:
    """Return for each perturbed twin its largest growth between two neighbouring records, where it is a jump.

    The first appearance of a difference is none, and neither is growth below the rounding of a single step.
    """
    found = []
    floor = float(arrays["single_rounding"][0])
    for twin in range(1, arrays["all_l2"].shape[0]):
        distance, removed = arrays["all_l2"][twin], arrays["log_removed"][twin]
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(np.maximum(distance, floor)) + removed
            gains = np.where(np.isfinite(distance[1:]) & (distance[:-1] > 0), np.diff(logs), -np.inf)
        if not len(gains) or not gains.max() > LEAST:
            continue
        at = int(np.argmax(gains))
        before, after = arrays["l2"][twin, at], arrays["l2"][twin, at + 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            grown = np.where(after > 0, np.log(after) - np.log(before), -np.inf) + removed[at + 1] - removed[at]
        tensors = tuple(str(n) for n, gain in zip(arrays["tensor"], grown, strict=True) if gain >= gains[at] / 2)
        found.append(
            Jump(
                twin=f"twin{twin}",
                start=int(arrays["step"][at]),
                end=int(arrays["step"][at + 1]),
                factor=float(np.exp(min(gains[at], 700.0))),
                tensors=tensors,
                last=tensors[-1] if tensors else None,
            )
        )
    return tuple(found)
