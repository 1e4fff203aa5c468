"""How an infinitesimal difference grows: the optimizer's update, linearised along the base run, step by step.

A training step maps weights `w` and the optimizer's buffers to their next values. Its derivative along the trajectory
carries a tangent `δ` (of the weights and of every buffer) forward, with the Hessian `H` of the same mini-batch entering
as a product. What one step does to it stands with the optimizers: `_tangent` in the files of `lastbit.optimizers`.

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
from torch import Tensor, nn

from lastbit.core.errors import LastbitError, choose
from lastbit.core.seeds import torch_stream
from lastbit.curvature import HessianOperator, ModelLoss
from lastbit.curvature.batches import LossFunction
from lastbit.dynamics.localise import growth_split, log_growth
from lastbit.optimizers.parts import TangentPoint
from lastbit.optimizers.registry import needed_rule

__all__ = ["HessianProduct", "Tangent", "TangentGrowth", "hessian_product", "init_tangent", "step_tangent"]

# Axes: T tensors, in the order of the names.

HessianProduct = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""Takes one direction per parameter and returns `H` times it, at the present weights, on the present mini-batch."""


@dataclass(frozen=True)
class Tangent:
    """A tangent between two steps.

    Attributes:
        names: the parameters.
        direction: `δw` per parameter; together of L2 norm 1.
        buffers: per parameter the tangents of its buffers, in the optimizer's order; empty before its first step.
        log_growth: sum of the logarithmic growths so far, nats.
    """

    names: tuple[str, ...]
    direction: tuple[Tensor, ...]
    buffers: tuple[tuple[Tensor, ...], ...]
    log_growth: float = 0.0


@dataclass(frozen=True)
class TangentGrowth:
    """What one step did.

    Attributes:
        log_growth: `ln(|δw'| / |δw|)`, nats; -inf if the tangent vanished, NaN once it is 0 or not finite.
        split: float64 (T,), each tensor's contribution to it (`localise.growth_split`); sums to `log_growth`.
        share: float64 (T,), each tensor's share of the squared norm after the step.
    """

    log_growth: float
    split: Tensor
    share: Tensor


def init_tangent(parameters: Mapping[str, Tensor], *, seed: int = 0) -> Tangent:
    """Return a tangent of norm 1 in a random direction whose buffers are 0: twins that differ in their weights alone.

    Args:
        parameters: the trained weights by name, in the order in which the Hessian product takes them.
        seed: of the Gaussian direction (stream `"tangent"`, name by name).

    Raises:
        LastbitError: no parameters.
    """
    if not parameters:
        raise LastbitError("no parameters: pass the trained weights by name, such as dict(model.named_parameters())")
    streams = [torch_stream(seed, "tangent", name) for name in parameters]
    weights = list(parameters.values())
    drawn = [
        torch.randn(p.shape, dtype=torch.float64, generator=stream).to(p.device)
        for p, stream in zip(weights, streams, strict=True)
    ]
    norm = float(_energies(drawn).sum().sqrt())
    scaled = tuple((x / norm).to(p.dtype) for x, p in zip(drawn, weights, strict=True))
    return Tangent(tuple(parameters), scaled, ((),) * len(drawn))


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
        optimizer: SGD, Adam, AdamW or another whose tangent is registered, that holds all of them.
        product: the Hessian product of the loss whose gradient `parameters` now hold.
        preconditioner: `"full"` differentiates Adam's `v` too, `"frozen"` holds it fixed; SGD has none.

    Returns:
        The next tangent, renormalised, and the growth of this step.

    Raises:
        LastbitError: the optimizer or an option of it has no tangent form, or does not hold a parameter.
    """
    choose(preconditioner, ("full", "frozen"), "preconditioner")
    step = needed_rule(type(optimizer), "tangent").tangent
    assert step is not None
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    if tuple(parameters) != tangent.names:
        raise LastbitError(
            "the parameters are not those the tangent was made for: pass the same names in the same order"
        )
    products = product(tangent.direction)
    rows: list[tuple[Tensor, tuple[Tensor, ...]]] = []
    for number, (name, p) in enumerate(parameters.items()):
        if id(p) not in groups:
            raise LastbitError(f"the optimizer does not hold {name}: leave frozen weights out of the parameters")
        delta = tangent.direction[number]
        if p.grad is None:
            rows.append((delta, tangent.buffers[number]))
            continue
        point = TangentPoint(
            weights=p.detach(),
            gradient=p.grad,
            group=groups[id(p)],
            state=optimizer.state.get(p, {}),
            delta=delta,
            product=products[number].to(delta.dtype),
            buffers=tangent.buffers[number],
            frozen=preconditioner == "frozen",
        )
        rows.append(step(point))
    before, after = _energies(tangent.direction), _energies([row[0] for row in rows])
    growth = float(log_growth(before, after))
    norm = float(after.sum().sqrt())
    scale = 1 / norm if 0 < norm < float("inf") else 1.0
    following = Tangent(
        tangent.names,
        tuple(direction * scale for direction, _ in rows),
        tuple(tuple(x * scale for x in buffers) for _, buffers in rows),
        tangent.log_growth + growth,
    )
    return following, TangentGrowth(growth, growth_split(before, after), after / after.sum())


def hessian_product(
    model: nn.Module,
    loss_fn: LossFunction | ModelLoss,
    batch: Any,
    *,
    parameters: Sequence[str] | None = None,
) -> HessianProduct:
    """Return the product with the Hessian of `loss_fn` at the model's present weights, on the mini-batch of the step.

    The network must be in the mode it trains in. With dropout, build the product *before* the step's own forward pass:
    it puts the random generators back, so that the forward pass then draws the mask that the product has used.

    Args:
        model: the network.
        loss_fn: `loss_fn(outputs, targets) -> scalar`, or a `curvature.ModelLoss`.
        batch: `(inputs, targets)`, or what the `ModelLoss` takes.
        parameters: names, where the tangent does not carry all trainable weights; their order is the model's.

    Raises:
        LastbitError: an operation of the network has no double backward (the message names the module), the product is
            not finite, or the batch does not fit.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        >>> batch = (torch.eye(2), torch.zeros(2, 1))  # the Hessian of the mean squared error is the identity
        >>> nn.functional.mse_loss(model(batch[0]), batch[1]).backward()
        >>> weights = dict(model.named_parameters())
        >>> product = hessian_product(model, nn.functional.mse_loss, batch)
        >>> _, growth = step_tangent(init_tangent(weights), weights, optimizer, product)
        >>> round(growth.log_growth, 4)  # ln(1 - 0.5)
        -0.6931
    """
    operator = HessianOperator(model, loss_fn, batch, parameters=parameters)

    def product(direction: Sequence[Tensor]) -> Sequence[Tensor]:
        return operator.space.unflatten(operator @ operator.space.flatten(direction))

    return product


def _energies(tensors: Sequence[Tensor]) -> Tensor:
    """Return the squared L2 norms, float64 (T,)."""
    return torch.stack([x.double().square().sum() for x in tensors])
