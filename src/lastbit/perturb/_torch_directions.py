"""The directions of torch's own optimizers, recomputed from the state that a step left.

Each follows the single-tensor implementation of its optimizer in `torch.optim`, operation by operation, so that the
same bits come out. A foreach or fused step orders some operations otherwise and can differ from it in the last bits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lastbit.perturb._direction import Direction
from lastbit.perturb._step import OptimizerStep

__all__ = ["adagrad", "adam", "rmsprop", "sgd"]


def sgd(step: OptimizerStep) -> Direction:
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
    missed = [(torch.add(step.before, each, alpha=-lr) - step.after).abs().sum() for each in (first, second)]
    return torch.where(missed[1] < missed[0], second, first)


def adam(step: OptimizerStep) -> Direction:
    """`d = m / (sqrt(v) / sqrt(1 - beta2^t) + eps)` with step size `lr / (1 - beta1^t)`; the same for AdamW."""
    group = step.group
    lr, eps, count = float(group["lr"]), float(group["eps"]), step.count()
    beta1, beta2 = (float(beta) for beta in group["betas"])
    second_moment = step.state("max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq")
    denominator = second_moment.sqrt_().div_((1 - beta2**count) ** 0.5).add_(eps)
    # A product of two floats, as in the step itself, before it is subtracted from one.
    shrink = 1 - lr * float(group["weight_decay"]) if group.get("decoupled_weight_decay") else 1.0
    return Direction(lr / (1 - beta1**count), step.state("exp_avg"), denominator, shrink)


def rmsprop(step: OptimizerStep) -> Direction:
    """`d = g / (sqrt(v) + eps)`, with `v` centered if asked, or the momentum buffer of that ratio."""
    group = step.group
    lr = float(group["lr"])
    if float(group["momentum"]) > 0:
        return Direction(lr, step.state("momentum_buffer"))
    average = step.state("square_avg")
    if group["centered"]:
        mean = step.state("grad_avg")
        average.addcmul_(mean, mean, value=-1)
    return Direction(lr, step.decayed_gradient(), average.sqrt_().add_(float(group["eps"])))


def adagrad(step: OptimizerStep) -> Direction:
    """`d = g / (sqrt(sum g^2) + eps)` with step size `lr / (1 + (t - 1) * lr_decay)`."""
    group = step.group
    step_size = float(group["lr"]) / (1 + (step.count() - 1) * float(group["lr_decay"]))
    return Direction(step_size, step.decayed_gradient(), step.state("sum").sqrt_().add_(float(group["eps"])))
