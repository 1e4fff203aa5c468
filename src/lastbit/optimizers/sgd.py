"""Stochastic gradient descent: plain, with momentum, with Nesterov's momentum; and ASGD, which averages its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastbit.optimizers.linear_update import LinearUpdate
from lastbit.optimizers.parts import Direction, Needs
from lastbit.optimizers.registry import Group, OptimizerChoice, register

if TYPE_CHECKING:
    from torch import Tensor

    from lastbit.optimizers.parts import TangentPoint
    from lastbit.optimizers.step import OptimizerStep


def _direction(step: OptimizerStep) -> Direction:
    """`d = g`, `d = b` (momentum) or `d = g + momentum * b` (Nesterov), with `g` decayed and `b` the new buffer."""
    group = step.group
    lr, momentum = float(group["lr"]), float(group["momentum"])
    if momentum == 0:
        return Direction(lr, step.decayed_gradient())
    buffer = step.state("momentum_buffer")
    if not group["nesterov"]:
        return Direction(lr, buffer)
    gradient = step.decayed_gradient()
    numerator = gradient.add(buffer, alpha=momentum)
    if group.get("foreach") is not False and not group["maximize"] and float(group["weight_decay"]) == 0:
        numerator = _as_taken(step, lr, numerator, gradient)
    return Direction(lr, numerator)


def _as_taken(step: OptimizerStep, lr: float, first: Tensor, second: Tensor) -> Tensor:
    """Return which of two directions the step took.

    torch's foreach Nesterov step without weight decay adds the momentum into the gradient tensors themselves, so what
    is found there afterwards may be the direction already. Whether foreach ran is a default that depends on device and
    version; the weights tell.
    """
    missed = [(step.before.add(each, alpha=-lr) - step.after).abs().sum() for each in (first, second)]
    return second.where(missed[1] < missed[0], first)


def _linear_update(group: Group, step: int) -> LinearUpdate:
    lr, beta = float(group["lr"]), float(group["momentum"])
    if beta == 0:
        return LinearUpdate([[1.0]], [-lr])
    fresh = 1 - float(group["dampening"])
    if group["nesterov"]:
        return LinearUpdate([[1.0, -lr * beta * beta], [0.0, beta]], [-lr * (1 + beta * fresh), fresh])
    return LinearUpdate([[1.0, -lr * beta], [0.0, beta]], [-lr * fresh, fresh])


def _asgd_direction(step: OptimizerStep) -> Direction:
    """`d = g` with the step size `eta` that the step before chose; the weights shrink by `1 - lambd * eta`."""
    group, chosen = step.group, step.earlier("eta")
    # Its first is the learning rate, rounded to the format in which it is kept.
    eta = float(step.state("eta").fill_(float(group["lr"]))[0] if chosen is None else chosen[0])
    return Direction(eta, step.decayed_gradient(), shrink=1 - float(group["lambd"]) * eta)


def _asgd_update(group: Group, step: int) -> LinearUpdate:
    """`w <- (1 - lambd eta) w - eta g`, `eta = lr / (1 + lambd lr (t - 1))^alpha` at a constant learning rate."""
    lr, lambd = float(group["lr"]), float(group["lambd"])
    eta = lr / (1 + lambd * lr * (step - 1)) ** float(group["alpha"])
    return LinearUpdate([[1 - lambd * eta]], [-eta])


def _tangent(point: TangentPoint) -> tuple[Tensor, tuple[Tensor, ...]]:
    """`δw ← δw - η δd`, with `δg = H δw + α δw`.

    Without momentum `δd = δg`; with momentum `μ` and dampening `τ` the buffer's tangent is `δb ← μ δb + (1 - τ) δg`
    (`δb = δg` at the first step, where torch copies the gradient), and `δd = δb`, or `δg + μ δb` for Nesterov.
    """
    group = point.group
    lr, momentum, dampening = float(group["lr"]), float(group["momentum"]), float(group["dampening"])
    gradient = point.sign * point.product + group["weight_decay"] * point.delta
    if momentum == 0:
        return point.delta - lr * gradient, ()
    if point.state.get("momentum_buffer") is None:
        buffer = gradient
    else:
        held = point.buffers[0] if point.buffers else 0.0
        buffer = momentum * held + (1 - dampening) * gradient
    direction = gradient + momentum * buffer if group["nesterov"] else buffer
    return point.delta - lr * direction, (buffer,)


register(
    "torch.optim:SGD",
    direction=_direction,
    linear_update=_linear_update,
    tangent=_tangent,
    choice=OptimizerChoice(name="sgd", options=("momentum", "nesterov")),
)
register(
    "torch.optim:ASGD",
    direction=_asgd_direction,
    needs=Needs(earlier=("eta",), scalars=("eta",)),
    linear_update=_asgd_update,
)
