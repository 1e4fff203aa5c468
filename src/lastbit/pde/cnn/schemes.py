"""Time schemes of gradient descent: Euler, heavy ball, Nesterov, by their characteristic polynomials.

For a mode with `d/dt v = -lambda v`, step `dt` and `h = dt lambda`, two steps of the iteration obey
`zeta^2 - T(h) zeta + D(h) = 0` with trace `T` and determinant `D` of the one-step map of (value, velocity):

| scheme | update | T | D |
| --- | --- | --- | --- |
| euler | `v <- v - dt g` | `1 - h` | 0 |
| heavy-ball | `u <- mu u + g; v <- v - dt u` | `1 + mu - h` | `mu` |
| nesterov | `u <- mu u + g; v <- v - dt (g + mu u)` (PyTorch's form) | `(1 + mu)(1 - h)` | `mu (1 - h)` |

A mode is stable iff both roots lie in the closed unit disc (Jury: `|D| <= 1` and `|T| <= 1 + D`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError, choose

__all__ = ["SCHEMES", "TimeScheme", "make_scheme"]

SCHEMES = ("euler", "heavy-ball", "nesterov")


@dataclass(frozen=True)
class TimeScheme:
    """A scheme and its momentum. Build it with `make_scheme`."""

    name: str
    momentum: float

    def coefficients(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return trace and determinant of the one-step map at `h = dt lambda`."""
        mu = self.momentum
        if self.name == "nesterov":
            return (1 + mu) * (1 - h), mu * (1 - h)
        return 1 + mu - h, torch.full_like(h, mu)

    def amplification_factor(self, h: Tensor) -> Tensor:
        """Return the largest `|zeta|` over the roots at `h = dt lambda`, element-wise."""
        trace, det = self.coefficients(h)
        half = trace / 2
        discriminant = half * half - det
        real = half.abs() + discriminant.clamp(min=0).sqrt()
        return torch.where(discriminant < 0, det.clamp(min=0).sqrt(), real)

    def step_limit(self) -> float:
        """Return the largest `h` such that every mode with `0 <= dt lambda <= h` is stable.

        Of the Jury conditions the one at `zeta = -1`, `1 + T + D >= 0`, binds first. `T` and `D` are affine in `h`,
        so two evaluations give its zero: `2` (Euler), `2 + 2 mu` (heavy ball), `(2 + 2 mu) / (1 + 2 mu)` (Nesterov).
        """
        trace, det = self.coefficients(torch.tensor([0.0, 1.0], dtype=torch.float64))
        margin = 1 + trace + det
        return float(margin[0] / (margin[0] - margin[1]))

    def direction(self, gradient: Tensor, velocity: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is multiplied by `-dt` and added to the value, and the new velocity."""
        if self.name == "euler":
            return gradient, velocity
        velocity = self.momentum * velocity + gradient
        if self.name == "heavy-ball":
            return velocity, velocity
        return gradient + self.momentum * velocity, velocity


def make_scheme(name: str = "euler", momentum: float | None = None) -> TimeScheme:
    """Return the scheme called `name`.

    Args:
        name: `"euler"`, `"heavy-ball"` or `"nesterov"`; an underscore may stand for the hyphen.
        momentum: in [0, 1); 0.9 when None. Euler has none.

    Raises:
        LastbitError: unknown scheme, momentum out of range, or momentum given to Euler.

    Example:
        >>> make_scheme("heavy-ball", 0.9).step_limit()
        3.8
    """
    name = choose(name.replace("_", "-"), SCHEMES, "scheme")
    if name == "euler":
        if momentum:
            raise LastbitError(f"Euler has no momentum, got {momentum}: choose heavy-ball or nesterov")
        return TimeScheme("euler", 0.0)
    mu = 0.9 if momentum is None else momentum
    if not (math.isfinite(mu) and 0 <= mu < 1):
        raise LastbitError(f"momentum = {mu}: use a number from 0 to below 1")
    return TimeScheme(name, float(mu))
