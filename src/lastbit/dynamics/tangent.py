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

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError, choose
from lastbit.core.seeds import torch_stream
from lastbit.dynamics.growth import growth_split, log_growth
from lastbit.optimizers.parts import TangentPoint
from lastbit.optimizers.registry import needed_rule

__all__ = ["HessianProduct", "Tangent", "TangentGrowth", "init_tangent", "step_tangent"]

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
        steps: how many steps they come from.
    """

    names: tuple[str, ...]
    direction: tuple[Tensor, ...]
    buffers: tuple[tuple[Tensor, ...], ...]
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
    return Tangent(tuple(parameters), tuple((x / norm).to(kind) for x, kind in drawn), ((),) * len(drawn))


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
        tangent.steps + 1,
    )
    return following, TangentGrowth(growth, growth_split(before, after), after / after.sum())


def _energies(tensors: Sequence[Tensor]) -> Tensor:
    """Return the squared L2 norms, float64 (T,)."""
    return torch.stack([x.double().square().sum() for x in tensors])
