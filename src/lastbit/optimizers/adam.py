"""Adam, and AdamW with its decoupled weight decay."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lastbit.core.errors import LastbitError
from lastbit.optimizers.linear_update import LinearUpdate
from lastbit.optimizers.parts import Direction
from lastbit.optimizers.registry import Group, OptimizerChoice, State, register

if TYPE_CHECKING:
    from torch import Tensor

    from lastbit.optimizers.parts import TangentPoint
    from lastbit.optimizers.step import OptimizerStep


def _decoupled(group: Group, always: bool = False) -> bool:
    """Whether weight decay multiplies the weights: `always` for AdamW, for the others where the group asks for it."""
    return always or bool(group.get("decoupled_weight_decay", False))


def _kept(group: Group, always: bool = False) -> float:
    """Return what decoupled weight decay leaves of the weights, `1 - lr * weight_decay`; 1 where it is coupled."""
    # A product of two floats, as in the step itself, before it is subtracted from one.
    return 1 - float(group["lr"]) * float(group["weight_decay"]) if _decoupled(group, always) else 1.0


def _preconditioner(group: Group, state: State) -> Tensor:
    """Return `sqrt(v / (1 - beta2^t)) + eps`."""
    second: Tensor = state["max_exp_avg_sq"] if group.get("amsgrad", False) else state["exp_avg_sq"]
    root: Tensor = (second / (1 - float(group["betas"][1]) ** float(state["step"]))).sqrt()
    return root + float(group["eps"])


def _direction(step: OptimizerStep, always: bool) -> Direction:
    """`d = m / (sqrt(v) / sqrt(1 - beta2^t) + eps)` with step size `lr / (1 - beta1^t)`."""
    group = step.group
    lr, eps, count = float(group["lr"]), float(group["eps"]), step.count()
    beta1, beta2 = (float(beta) for beta in group["betas"])
    second_moment = step.state("max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq")
    denominator = second_moment.sqrt_().div_((1 - beta2**count) ** 0.5).add_(eps)
    return Direction(lr / (1 - beta1**count), step.state("exp_avg"), denominator, _kept(group, always))


def _linear_update(group: Group, step: int, always: bool) -> LinearUpdate:
    beta = float(group["betas"][0])
    rate = float(group["lr"]) / (1 - beta**step)
    return LinearUpdate([[_kept(group, always), -rate * beta], [0.0, beta]], [-rate * (1 - beta), 1 - beta])


def _tangent(point: TangentPoint, always: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
    """`δw ← δw - η [ δm̂ / D - m̂ δs / D² ]`, `δs = δv / (2 (1 - β₂^t) s)`, with `D = s + ε`, `s = sqrt(v̂)`.

    `δm ← β₁ δm + (1 - β₁) δg` and `δv ← β₂ δv + 2 (1 - β₂) g δg` (element-wise), hats divide by `1 - β^t`. The second
    term is the preconditioner's own change, left out where it is held fixed. Where `v = 0` every gradient so far was 0,
    `m` is 0 with it, and that term is its limit 0. Decoupled decay multiplies `δw` by `1 - ηα` first; coupled decay
    adds `α δw` to `δg`.
    """
    group, state, delta = point.group, point.state, point.delta
    if group.get("amsgrad"):
        raise LastbitError("Adam with amsgrad has no tangent form: write amsgrad=False")
    lr, eps, decay = float(group["lr"]), float(group["eps"]), float(group["weight_decay"])
    beta1, beta2 = (float(beta) for beta in group["betas"])
    g, dg = point.sign * point.gradient.to(delta.dtype), point.sign * point.product
    if _decoupled(group, always):
        delta = _kept(group, always) * delta
    else:
        g, dg = g + decay * point.weights.to(delta.dtype), dg + decay * delta
    step = int(state.get("step", 0)) + 1
    correction1, correction2 = 1 - beta1**step, 1 - beta2**step
    m = beta1 * state["exp_avg"].to(delta.dtype) + (1 - beta1) * g if step > 1 else (1 - beta1) * g
    v = beta2 * state["exp_avg_sq"].to(delta.dtype) + (1 - beta2) * g * g if step > 1 else (1 - beta2) * g * g
    held1, held2 = point.buffers or (0.0, 0.0)
    dm = beta1 * held1 + (1 - beta1) * dg
    dv = beta2 * held2 + 2 * (1 - beta2) * g * dg
    root = (v / correction2).sqrt()
    scale = root + eps
    change = dm / scale
    if not point.frozen:
        droot = (dv / (2 * correction2 * root)).where(root > 0, 0.0)
        change = change - m * droot / scale.square()
    return delta - (lr / correction1) * change, (dm, dv)


for name, always, weight_decay in (("Adam", False, 0.0), ("AdamW", True, 1e-2)):
    register(
        f"torch.optim:{name}",
        direction=partial(_direction, always=always),
        linear_update=partial(_linear_update, always=always),
        preconditioner=_preconditioner,
        decoupled=partial(_decoupled, always=always),
        tangent=partial(_tangent, always=always),
        # Without momentum of its own it gets PyTorch's rate and decay, not those of SGD.
        choice=OptimizerChoice(name=name.lower(), defaults={"lr": 1e-3, "weight_decay": weight_decay}),
    )
