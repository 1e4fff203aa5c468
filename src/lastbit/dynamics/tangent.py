"""How an infinitesimal difference grows: the optimizer's update, linearised along the base run, step by step.

A training step maps weights `w` and the optimizer's buffers to their next values. Its derivative along the trajectory
carries a tangent `δ` (of the weights and of every buffer) forward, with the Hessian `H` of the same mini-batch entering
as a product. With `g` the gradient, `α` coupled weight decay and `δg = Hδw + αδw`:

* SGD: `δw ← δw - η δd`. Without momentum `δd = δg`; with momentum `μ` and dampening `τ` the buffer's tangent is
  `δb ← μ δb + (1 - τ) δg` (`δb = δg` at the first step, where torch copies the gradient), and `δd = δb`, or
  `δg + μ δb` for Nesterov.
* Adam: `δm ← β₁ δm + (1 - β₁) δg`, `δv ← β₂ δv + 2 (1 - β₂) g δg` (element-wise), and with `m̂ = m / (1 - β₁^t)`,
  `s = sqrt(v / (1 - β₂^t))`, `D = s + ε`:

      δw ← δw - η [ δm̂ / D - m̂ δs / D² ],    δs = δv / (2 (1 - β₂^t) s).

  The second term is the preconditioner's own change; with `preconditioner="frozen"` it is left out. Where `v = 0` every
  gradient so far was 0, `m` is 0 with it, and the second term is its limit 0.
* AdamW: the same with `α = 0` in `δg` and `δw ← (1 - ηα) δw` first.

After every step the whole tangent is divided by `|δw|` (Benettin, Galgani, Giorgilli and Strelcyn, Meccanica 15, 1980),
so it neither overflows nor vanishes; the logarithms of the divisors add up to the growth. Their mean over steps is the
finite-time growth rate: the rate at which twins part while they are still close.

What the derivative leaves out: gradient clipping and anything else that a script does between `backward` and `step`;
and kinks (ReLU, max pooling), at which the one-sided derivative that `autograd` chose is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError, choose
from lastbit.core.seeds import torch_stream
from lastbit.dynamics.growth import growth_split, log_growth

__all__ = ["TANGENT_FORMS", "HessianProduct", "Tangent", "TangentGrowth", "init_tangent", "step_tangent"]

# Axes: T tensors, in the order of the names.

HessianProduct = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""Takes one direction per parameter and returns `H` times it, at the present weights, on the present mini-batch."""

TANGENT_FORMS = ("SGD", "Adam", "AdamW")
"""The optimizers of `torch.optim` whose derivative is known here."""


@dataclass(frozen=True)
class Tangent:
    """A tangent between two steps.

    Attributes:
        names: the parameters.
        direction: `δw` per parameter; together of L2 norm 1.
        first: tangents of the momentum buffer or of Adam's `m`; None before the first step.
        second: tangents of Adam's `v`; None before the first step and for SGD.
        log_growth: sum of the logarithmic growths so far, nats.
        steps: how many steps they come from.
    """

    names: tuple[str, ...]
    direction: tuple[Tensor, ...]
    first: tuple[Tensor | None, ...]
    second: tuple[Tensor | None, ...]
    log_growth: float = 0.0
    steps: int = 0

    @property
    def rate(self) -> float:
        """Finite-time growth rate, nats per step; NaN before the first step."""
        return self.log_growth / self.steps if self.steps else float("nan")


@dataclass(frozen=True)
class TangentGrowth:
    """What one step did.

    Attributes:
        log_growth: `ln(|δw'| / |δw|)`, nats; -inf if the tangent vanished, NaN once it is 0 or not finite.
        split: float64 (T,), each tensor's contribution to it (`growth.growth_split`); sums to `log_growth`.
        share: float64 (T,), each tensor's share of the squared norm after the step.
    """

    log_growth: float
    split: Tensor
    share: Tensor


def init_tangent(
    parameters: Mapping[str, Tensor],
    *,
    seed: int = 0,
    direction: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype | None = None,
) -> Tangent:
    """Return a tangent of norm 1 whose buffers are 0: twins that differ in their weights alone.

    Args:
        parameters: the trained weights by name, in the order in which the Hessian product takes them.
        seed: of the Gaussian direction that is drawn when none is given (stream `"tangent"`, name by name).
        direction: the difference to start from, such as twin minus base, by name; it is normalised.
        dtype: format of the tangent; by default each weight's own. `torch.float64` for a float32 run needs a product
            that accepts it.

    Raises:
        LastbitError: no parameters, or a direction that does not fit them, is 0 or is not finite.
    """
    if not parameters:
        raise LastbitError("no parameters: pass the trained weights by name, such as dict(model.named_parameters())")
    drawn = []
    for name, p in parameters.items():
        kind = dtype or p.dtype
        if direction is None:
            x = torch.randn(p.shape, dtype=torch.float64, generator=torch_stream(seed, "tangent", name))
        elif name not in direction or direction[name].shape != p.shape:
            raise LastbitError(f"the direction does not fit {name}: pass one tensor of shape {tuple(p.shape)} for it")
        else:
            x = direction[name].detach()
        drawn.append((x.to(device=p.device, dtype=torch.float64), kind))
    norm = float(_energies([x for x, _ in drawn]).sum().sqrt())
    if not 0 < norm < float("inf"):
        raise LastbitError(f"the direction has norm {norm}: pass one that is finite and not zero")
    blank: tuple[Tensor | None, ...] = (None,) * len(drawn)
    return Tangent(tuple(parameters), tuple((x / norm).to(kind) for x, kind in drawn), blank, blank)


@torch.no_grad()
def step_tangent(
    tangent: Tangent,
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    product: HessianProduct,
    *,
    preconditioner: str = "full",
) -> tuple[Tangent, TangentGrowth]:
    """Carry `tangent` across the step that `optimizer` is about to take.

    Call it after `backward` and before `optimizer.step()`: gradients, buffers, learning rates and decays are read from
    the live optimizer, which is left as it is. A parameter without a gradient is skipped, as torch skips it.

    Args:
        tangent: the present one.
        parameters: those it was made for, in the same order.
        optimizer: a `torch.optim` SGD, Adam or AdamW that holds all of them.
        product: the Hessian product of the loss whose gradient `parameters` now hold.
        preconditioner: `"full"` differentiates Adam's `v` too, `"frozen"` holds it fixed; SGD has none.

    Returns:
        The next tangent, renormalised, and the growth of this step.

    Raises:
        LastbitError: the optimizer or an option of it has no tangent form, or does not hold a parameter.
    """
    choose(preconditioner, ("full", "frozen"), "preconditioner")
    kind = _form(optimizer)
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    if tuple(parameters) != tangent.names:
        raise LastbitError(
            "the parameters are not those the tangent was made for: pass the same names in the same order"
        )
    products = product(tangent.direction)
    rows = []
    for number, (name, p) in enumerate(parameters.items()):
        if id(p) not in groups:
            raise LastbitError(f"the optimizer does not hold {name}: leave frozen weights out of the parameters")
        delta = tangent.direction[number]
        if p.grad is None:
            rows.append((delta, tangent.first[number], tangent.second[number]))
            continue
        point = _Point(delta, products[number].to(delta.dtype), tangent.first[number], tangent.second[number], p)
        group, state = groups[id(p)], optimizer.state.get(p, {})
        rows.append(
            _sgd(point, group, state) if kind == "SGD" else _adam(point, group, state, kind, preconditioner == "full")
        )
    before, after = _energies(tangent.direction), _energies([row[0] for row in rows])
    growth = float(log_growth(before, after))
    norm = float(after.sum().sqrt())
    scale = 1 / norm if 0 < norm < float("inf") else 1.0
    scaled = [tuple(None if x is None else x * scale for x in column) for column in zip(*rows, strict=True)]
    following = Tangent(
        tangent.names,
        tuple(x for x in scaled[0] if x is not None),
        scaled[1],
        scaled[2],
        tangent.log_growth + growth,
        tangent.steps + 1,
    )
    return following, TangentGrowth(growth, growth_split(before, after), after / after.sum())


@dataclass(frozen=True)
class _Point:
    """One parameter where its update is linearised: `δw`, `Hδw`, buffer tangents, and the parameter itself."""

    delta: Tensor
    product: Tensor
    first: Tensor | None
    second: Tensor | None
    parameter: Tensor


Row = tuple[Tensor, Tensor | None, Tensor | None]


def _sgd(point: _Point, group: Mapping[str, Any], state: Mapping[str, Any]) -> Row:
    lr, momentum, dampening = float(group["lr"]), float(group["momentum"]), float(group["dampening"])
    sign = -1.0 if group.get("maximize") else 1.0
    gradient = sign * point.product + group["weight_decay"] * point.delta
    if momentum == 0:
        return point.delta - lr * gradient, None, None
    if state.get("momentum_buffer") is None:
        buffer = gradient
    else:
        held = torch.zeros_like(gradient) if point.first is None else point.first
        buffer = momentum * held + (1 - dampening) * gradient
    direction = gradient + momentum * buffer if group["nesterov"] else buffer
    return point.delta - lr * direction, buffer, None


def _adam(point: _Point, group: Mapping[str, Any], state: Mapping[str, Any], kind: str, full: bool) -> Row:
    lr, eps, decay = float(group["lr"]), float(group["eps"]), float(group["weight_decay"])
    beta1, beta2 = (float(beta) for beta in group["betas"])
    sign = -1.0 if group.get("maximize") else 1.0
    decoupled = kind == "AdamW" or bool(group.get("decoupled_weight_decay"))
    delta, p, zero = point.delta, point.parameter, torch.zeros_like(point.delta)
    g = sign * p.grad.to(delta.dtype) if p.grad is not None else zero
    dg = sign * point.product
    if decoupled:
        delta = (1 - lr * decay) * delta
    else:
        g, dg = g + decay * p.detach().to(delta.dtype), dg + decay * delta
    step = int(state.get("step", 0)) + 1
    correction1, correction2 = 1 - beta1**step, 1 - beta2**step
    m = beta1 * state["exp_avg"].to(delta.dtype) + (1 - beta1) * g if step > 1 else (1 - beta1) * g
    v = beta2 * state["exp_avg_sq"].to(delta.dtype) + (1 - beta2) * g * g if step > 1 else (1 - beta2) * g * g
    dm = beta1 * (zero if point.first is None else point.first) + (1 - beta1) * dg
    dv = beta2 * (zero if point.second is None else point.second) + 2 * (1 - beta2) * g * dg
    root = (v / correction2).sqrt()
    scale = root + eps
    change = dm / scale
    if full:
        droot = torch.where(root > 0, dv / (2 * correction2 * root), zero)
        change = change - m * droot / scale.square()
    return delta - (lr / correction1) * change, dm, dv


def _form(optimizer: torch.optim.Optimizer) -> str:
    """Return which of `TANGENT_FORMS` the optimizer is; a subclass of torch's own may update otherwise."""
    kind = choose(type(optimizer).__name__, TANGENT_FORMS, "optimizer for tangent growth")
    if type(optimizer).__module__.split(".")[0] != "torch":
        raise LastbitError(f"{kind} here is not torch.optim.{kind}: its update may differ, so its tangent is not known")
    if any(group.get("amsgrad") for group in optimizer.param_groups):
        raise LastbitError(f"{kind} with amsgrad has no tangent form: write amsgrad=False")
    return kind


def _energies(tensors: Sequence[Tensor]) -> Tensor:
    """Return the squared L2 norms, float64 (T,)."""
    return torch.stack([x.double().square().sum() for x in tensors])
