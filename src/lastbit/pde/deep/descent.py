"""Gradient descent itself: on a linearised flow, and on the network's own loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.pde.cnn.linear_flow import growth
from lastbit.pde.deep.network import DeepProblem
from lastbit.pde.deep.operator import LinearisedFlow
from lastbit.pde.descents import descent_direction
from lastbit.pde.schemes import TimeScheme

__all__ = [
    "Descent",
    "descend",
    "growth_per_step",
    "simulated_alpha_min",
    "simulated_edge_lr",
]


def growth_per_step(
    flow: LinearisedFlow, start_P: Tensor, scheme: TimeScheme, *, lr: float, weight_decay: float, steps: int = 200
) -> float:
    """Return the mean factor per step by which `start_P` grows under the linearised descent `d = (H + α)v`.

    The first half of the steps lets the velocity settle; the factor is that of the second half. Vectors are rescaled as
    they go, so nothing overflows.

    Args:
        flow: the linearised flow.
        start_P: where to start, at rest.
        scheme: of `descent_scheme`.
        lr: the learning rate η.
        weight_decay: α.
        steps: how many, at least 2.
    """
    decay_M = torch.tensor([weight_decay], dtype=torch.float64)
    total_M = growth(
        lambda v_MP: flow(v_MP[0])[None], start_P[None], dt=lr, weight_decay_M=decay_M, scheme=scheme, steps=steps
    )
    return math.exp(float(total_M[0]) / (steps - steps // 2))


def _bisect(turned: Callable[[float], bool], low: float, high: float, tolerance: float, needed: str) -> float:
    """Where `turned` goes from False to True between `low` and `high`, to a relative width; `needed` if it does not."""
    if turned(low) or not turned(high):
        raise LastbitError(f"the descent must {needed}: give another bracket")
    while abs(high - low) > tolerance * max(abs(low), abs(high)):
        middle = (low + high) / 2
        low, high = (low, middle) if turned(middle) else (middle, high)
    return (low + high) / 2


def simulated_edge_lr(
    flow: LinearisedFlow,
    start_P: Tensor,
    scheme: TimeScheme,
    *,
    weight_decay: float,
    low: float,
    high: float,
    steps: int = 200,
    tolerance: float = 1e-3,
) -> float:
    """Find by simulation the learning rate beyond which the linearised descent grows.

    Args:
        flow: the linearised flow.
        start_P: the sharpest mode, or noise with enough steps for the sharpest mode to win.
        scheme: of `descent_scheme`.
        weight_decay: α, at least the lower bound (else the descent grows at every rate).
        low: a rate at which it does not grow.
        high: a rate at which it does.
        steps: of every simulation.
        tolerance: relative width at which to stop.

    Raises:
        LastbitError: `low` already grows, or `high` does not.
    """

    def grows(lr: float) -> bool:
        return growth_per_step(flow, start_P, scheme, lr=lr, weight_decay=weight_decay, steps=steps) > 1

    return _bisect(grows, low, high, tolerance, f"hold at lr = {low:g} and grow at lr = {high:g}")


def simulated_alpha_min(
    flow: LinearisedFlow,
    start_P: Tensor,
    scheme: TimeScheme,
    *,
    lr: float,
    low: float,
    high: float,
    steps: int = 200,
    tolerance: float = 1e-3,
) -> float:
    """Find by simulation the weight decay below which the linearised descent grows; arguments as `simulated_edge_lr`.

    Args:
        flow: the linearised flow.
        start_P: the lowest mode.
        scheme: of `descent_scheme`.
        lr: the learning rate, short enough for the scheme.
        low: a decay at which it grows.
        high: a decay at which it does not.
        steps: of every simulation.
        tolerance: relative width at which to stop.

    Raises:
        LastbitError: `low` does not grow, or `high` does.
    """

    def holds(alpha: float) -> bool:
        return growth_per_step(flow, start_P, scheme, lr=lr, weight_decay=alpha, steps=steps) <= 1

    return _bisect(holds, low, high, tolerance, f"grow at α = {low:g} and hold at α = {high:g}")


@dataclass(frozen=True, eq=False)
class Descent:
    """The result of gradient descent on a network.

    Attributes:
        weights_P: the last weights.
        losses: regularised loss `loss + α|w|²/2` before each step and after the last; ends early if it diverged.
        gradient_norm: norm of the regularised gradient at the end.
        status: `ok`, or `diverged` if loss or weights stopped being finite.
    """

    weights_P: Tensor
    losses: tuple[float, ...]
    gradient_norm: float
    status: RunStatus


def descend(
    problem: DeepProblem, weights_P: Tensor, scheme: TimeScheme, *, lr: float, weight_decay: float = 0.0, steps: int
) -> Descent:
    """Run full-batch gradient descent on the network's own, non-linear loss.

    Args:
        problem: the network and its images.
        weights_P: the start.
        scheme: of `descent_scheme`.
        lr: the learning rate, positive.
        weight_decay: α, coupled: its term enters the gradient.
        steps: how many, at least 0.

    Raises:
        LastbitError: an invalid learning rate or number of steps.
    """
    if not (math.isfinite(lr) and lr > 0) or not math.isfinite(weight_decay) or steps < 0:
        raise LastbitError(
            f"lr = {lr}, weight decay = {weight_decay}, {steps} steps: give lr > 0, finite decay, steps ≥ 0"
        )
    w = weights_P.detach().to(problem.images_BCHW)
    velocity = torch.zeros_like(w)
    losses: list[float] = []
    status, gradient_norm = RunStatus.OK, math.nan
    for index in range(steps + 1):
        leaf = w.clone().requires_grad_()
        loss = problem.loss(problem.split(leaf)) + weight_decay / 2 * leaf.square().sum()
        (gradient,) = torch.autograd.grad(loss, leaf)
        losses.append(float(loss.detach()))
        gradient_norm = float(gradient.norm())
        if not (math.isfinite(losses[-1]) and math.isfinite(gradient_norm)):
            status = RunStatus.DIVERGED
            break
        if index < steps:
            direction, velocity = descent_direction(scheme, gradient, velocity)
            w = w - lr * direction
    return Descent(w, tuple(losses), gradient_norm, status)
