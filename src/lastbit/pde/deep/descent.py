"""Gradient descent itself, on the network's own loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.pde.builtin_schemes import descent_direction
from lastbit.pde.deep.network import DeepProblem
from lastbit.pde.schemes import TimeScheme

__all__ = ["Descent", "descend"]


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
