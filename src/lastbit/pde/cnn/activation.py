"""The swish `r(z) = z s(beta z)`, its derivatives, and the three regimes of its argument."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

__all__ = ["REGIMES", "inflection", "regime_shares", "swish", "swish_curvature", "swish_slope"]

REGIMES = ("activated", "transitioning", "not_activated")


def swish(z: Tensor, beta: float) -> Tensor:
    """Return `z s(beta z)`."""
    return z * torch.sigmoid(beta * z)


def swish_slope(z: Tensor, beta: float) -> Tensor:
    """Return `r'(z) = s + t s (1 - s)` with `t = beta z` and `s = s(t)`."""
    s = torch.sigmoid(beta * z)
    return s + beta * z * s * (1 - s)


def swish_curvature(z: Tensor, beta: float) -> Tensor:
    """Return `r''(z) = beta s (1 - s) (2 - t tanh(t / 2))` with `t = beta z` and `s = s(t)`.

    The second derivative of `z s(beta z)`, using `1 - 2 s(t) = -tanh(t / 2)`.
    """
    t = beta * z
    s = torch.sigmoid(t)
    # s (1 - s) vanishes faster than t grows: the clamp only keeps inf * 0 away.
    t = t.clamp(-800, 800)
    return beta * s * (1 - s) * (2 - t * torch.tanh(t / 2))


@cache
def inflection() -> float:
    """Return the positive `t = beta z` where the swish turns from convex to concave, 2.3994.

    It solves `t tanh(t / 2) = 2`: there `r''` changes its sign, and `r'` is at its maximum (at `-t`: its minimum).
    """
    return float(brentq(lambda t: t * np.tanh(t / 2) - 2, 1.0, 4.0, xtol=1e-15))


def regime_shares(z_MBxy: Tensor, beta: float) -> Tensor:
    """Return the shares of positions that are activated, transitioning, not activated: `[M, 3]`, in that order.

    A position is transitioning where the swish is convex, `|beta z| <= inflection()`: there its curvature feeds the
    linearised flow. Beyond, the swish bends the other way and flattens exponentially towards `z` or 0.
    """
    t = beta * z_MBxy.flatten(1)
    edge = inflection()
    activated = (t > edge).double().mean(1)
    dead = (t < -edge).double().mean(1)
    return torch.stack([activated, 1 - activated - dead, dead], dim=1)
