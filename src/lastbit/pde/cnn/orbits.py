"""What kind of orbit a flow that never settles is on, told from its history alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError

__all__ = ["Orbit", "orbit_of"]

_LONGEST = 64
"""Steps after which an orbit that repeats itself must have done so at the latest."""
_REPEATS = 1e-6
"""Deviation, relative to the largest value, within which a history repeats itself."""
_SETTLING = 0.5
"""Factor by which the deviation falls from one half of the history looked at to the other where it is settling."""


@dataclass(frozen=True)
class Orbit:
    """An orbit.

    Attributes:
        kind: `periodic`, `settling` (on its way to a periodic one), or `aperiodic`.
        period: of the history, in steps; that of the kernel is a multiple of it. None where it is aperiodic.
    """

    kind: Literal["periodic", "settling", "aperiodic"]
    period: int | None


def orbit_of(history_TX: Tensor) -> Orbit:
    """Return the orbit that a history ends on: whether its last third repeats itself after some number of steps.

    Args:
        history_TX: numbers that follow the state, at every step: norm of the kernel, loss.

    Raises:
        LastbitError: fewer than 96 steps, or numbers that are not finite.

    Example:
        >>> steps = torch.arange(300)
        >>> orbit_of(torch.stack([steps % 3, steps % 2], dim=1))
        Orbit(kind='periodic', period=6)
    """
    tail = history_TX[-(len(history_TX) // 3) :].double()
    if len(tail) < 32 or not bool(torch.isfinite(tail).all()):
        raise LastbitError(f"the orbit of {len(history_TX)} steps: give 96 or more, each finite")
    tail = tail / tail.abs().amax(0).clamp(min=torch.finfo(torch.float64).tiny)
    half = len(tail) // 2
    deviations = {}
    for period in range(1, min(_LONGEST, half // 2) + 1):
        apart_T = (tail[period:] - tail[:-period]).abs().amax(1)
        deviations[period] = float(apart_T[:-half].max()), float(apart_T[-half:].max())
    repeats = [period for period, (_, late) in deviations.items() if late <= _REPEATS]
    if repeats:
        return Orbit("periodic", repeats[0])
    best = min(deviations, key=lambda period: deviations[period][1])
    early, late = deviations[best]
    return Orbit("settling", best) if late <= _SETTLING * early else Orbit("aperiodic", None)
