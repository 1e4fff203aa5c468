"""Adam's kin: NAdam with Nesterov's momentum, RAdam with a rectified warm-up, Adamax with the infinity norm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastbit.optimizers.linear_update import LinearUpdate
from lastbit.optimizers.parts import Direction, Needs
from lastbit.optimizers.registry import Group, State, register

if TYPE_CHECKING:
    from torch import Tensor

    from lastbit.optimizers.step import OptimizerStep

_TERMS = 2000
"""Factors of NAdam's product of momenta that are multiplied out: each is below beta1, so at beta1 = 0.99 what is left
is below 1e-9 of 1."""


def _decoupled(group: Group) -> bool:
    return bool(group.get("decoupled_weight_decay", False))


def _kept(group: Group) -> float:
    """Return what decoupled weight decay leaves of the weights, `1 - lr * weight_decay`; 1 where it is coupled."""
    return 1 - float(group["lr"]) * float(group["weight_decay"]) if _decoupled(group) else 1.0


def _momentum(group: Group, step: float) -> float:
    """Return NAdam's `mu(t)`, which rises over the steps."""
    return float(group["betas"][0]) * (1.0 - 0.5 * float(0.96 ** (step * float(group["momentum_decay"]))))


def _nadam_direction(step: OptimizerStep) -> Direction:
    """`g / D` with step size `lr (1 - mu(t)) / (1 - prod mu)`, then `m / D` with `lr mu(t+1) / (1 - mu(t+1) prod mu)`.

    `D = sqrt(v / (1 - beta2^t)) + eps`. torch adds the two one after the other.
    """
    group, count = step.group, step.count()
    lr, now, ahead = float(group["lr"]), _momentum(group, count), _momentum(group, count + 1)
    product = float(step.state("mu_product")[0])
    second = step.state("exp_avg_sq").div_(1 - float(group["betas"][1]) ** count)
    denominator = second.sqrt_().add_(float(group["eps"]))
    gradient = step.gradient() if _decoupled(group) else step.decayed_gradient()
    momentum = Direction(lr * ahead / (1.0 - product * ahead), step.state("exp_avg"), denominator)
    return Direction(lr * (1.0 - now) / (1.0 - product), gradient, denominator, _kept(group), then=momentum)


def _nadam_update(group: Group, step: int) -> LinearUpdate:
    """Adam with Nesterov's momentum, whose coefficient rises over the steps."""
    lr, beta = float(group["lr"]), float(group["betas"][0])
    product = 1.0
    for t in range(1, min(step, _TERMS) + 1):
        product *= _momentum(group, t)
    now = lr * (1 - _momentum(group, step)) / (1 - product)
    following = _momentum(group, step + 1)
    ahead = lr * following / (1 - product * following)
    return LinearUpdate([[_kept(group), -ahead * beta], [0.0, beta]], [-now - ahead * (1 - beta), 1 - beta])


def _nadam_preconditioner(group: Group, state: State) -> Tensor:
    """Return `sqrt(v / (1 - beta2^t)) + eps`."""
    root: Tensor = (state["exp_avg_sq"] / (1 - float(group["betas"][1]) ** float(state["step"]))).sqrt()
    return root + float(group["eps"])


def _rectification(group: Group, step: float) -> float | None:
    """Return RAdam's factor on a step that adapts; None while too few steps were taken to adapt.

    Liu et al., On the Variance of the Adaptive Learning Rate and Beyond (ICLR 2020), algorithm 2.
    """
    beta2 = float(group["betas"][1])
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * (beta2**step) / (1 - beta2**step)
    if length <= 5.0:
        return None
    return float(((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)) ** 0.5)


def _radam_direction(step: OptimizerStep) -> Direction:
    """`lr m / (1 - beta1^t)`, once it adapts times `r sqrt(1 - beta2^t) / (sqrt(v) + eps)`, with step size 1.

    torch multiplies the learning rate in before the ratio.
    """
    group, count = step.group, step.count()
    beta1, beta2 = (float(beta) for beta in group["betas"])
    update = step.state("exp_avg").div_(1 - beta1**count).mul_(float(group["lr"]))
    rectification = _rectification(group, count)
    if rectification is not None:
        root = step.state("exp_avg_sq").sqrt_().add_(float(group["eps"]))
        update.mul_((1 - beta2**count) ** 0.5 / root).mul_(rectification)
    return Direction(1.0, update, shrink=_kept(group))


def _adam_update(group: Group, step: int) -> LinearUpdate:
    beta = float(group["betas"][0])
    rate = float(group["lr"]) / (1 - beta**step)
    return LinearUpdate([[_kept(group), -rate * beta], [0.0, beta]], [-rate * (1 - beta), 1 - beta])


def _radam_preconditioner(group: Group, state: State) -> Tensor:
    """Return `(sqrt(v) + eps) / (r sqrt(1 - beta2^t))`, and ones before it adapts."""
    second: Tensor = state["exp_avg_sq"]
    count = float(state["step"])
    rectification = _rectification(group, count)
    if rectification is None:
        return second.new_ones(second.shape)
    scale = rectification * float((1 - float(group["betas"][1]) ** count) ** 0.5)
    return (second.sqrt() + float(group["eps"])) / scale


def _adamax_direction(step: OptimizerStep) -> Direction:
    """`d = m / u`, `u` the decaying maximum of `|g| + eps`, with step size `lr / (1 - beta1^t)`."""
    rate = float(step.group["lr"]) / (1 - float(step.group["betas"][0]) ** step.count())
    return Direction(rate, step.state("exp_avg"), step.state("exp_inf"))


def _adamax_preconditioner(group: Group, state: State) -> Tensor:
    largest: Tensor = state["exp_inf"]
    return largest


register(
    "torch.optim:NAdam",
    direction=_nadam_direction,
    needs=Needs(scalars=("mu_product",)),
    linear_update=_nadam_update,
    preconditioner=_nadam_preconditioner,
    decoupled=_decoupled,
)
register(
    "torch.optim:RAdam",
    direction=_radam_direction,
    linear_update=_adam_update,
    preconditioner=_radam_preconditioner,
    decoupled=_decoupled,
)
register(
    "torch.optim:Adamax",
    direction=_adamax_direction,
    linear_update=_adam_update,
    preconditioner=_adamax_preconditioner,
)
