"""The Hessian as an optimizer sees it: preconditioned, with its weight decay, scaled to one stability limit."""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor, nn

from lastbit.core.errors import LastbitError
from lastbit.core.words import plural
from lastbit.curvature.hessian import HessianOperator
from lastbit.curvature.limits import GroupLimit, group_limit, preconditioner
from lastbit.curvature.operators import PreconditionedOperator, ShiftedOperator, SymmetricOperator
from lastbit.curvature.snapshot import unwrapped

__all__ = ["EffectiveHessian", "optimized_parameters"]


def optimized_parameters(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, int]:
    """Return the trainable parameters that the optimizer moves, each with the index of its group.

    Raises:
        LastbitError: `optimizer` is none, or holds none of the model's parameters.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise LastbitError(f"expected a torch.optim.Optimizer, got {type(optimizer).__name__}")
    groups = {id(p): index for index, group in enumerate(optimizer.param_groups) for p in group["params"]}
    named = [(name, p) for name, p in unwrapped(model).named_parameters() if p.requires_grad]
    found = {name: groups[id(p)] for name, p in named if id(p) in groups}
    if not named:
        raise LastbitError("no trainable parameter: give a model with a parameter that has requires_grad=True")
    if not found:
        raise LastbitError(
            f"the {type(optimizer).__name__} holds none of the model's {plural(len(named), 'trainable parameter')}: "
            "build it from model.parameters() after the model is built and moved"
        )
    return found


class EffectiveHessian(PreconditionedOperator):
    """`D^{-1/2} (H + C) D^{-1/2}`, whose largest eigenvalue is what an optimizer's limit is compared with.

    `H` is the Hessian of the loss, `C` the coupled weight decay of each parameter, and `D = P u_g / u`: the
    preconditioner `P`, and where groups have different limits `u_g`, the factor that brings them to the smallest, `u`.
    Coordinates are `x = D^{1/2} w`. The step is stable where every eigenvalue is at most `limit = u`. With groups that
    differ in momentum this is exact for a crossing at `z = -1`, where the optimizers known here lose stability.

    Args:
        hessian: of the parameters to look at: the whole, or one of its blocks.
        model: the network.
        optimizer: the live optimizer; its learning rates, state and decay are read now.
        lr_factor: multiplies every learning rate, to ask what another one would do.

    Raises:
        LastbitError: the optimizer does not hold a parameter of `hessian`, its class is unknown, or it has a
            preconditioner but has taken no step.
    """

    def __init__(
        self, hessian: HessianOperator, model: nn.Module, optimizer: torch.optim.Optimizer, *, lr_factor: float = 1.0
    ) -> None:
        where = optimized_parameters(model, optimizer)
        if stray := [name for name in hessian.space.names if name not in where]:
            raise LastbitError(
                f"the optimizer does not hold parameter {stray[0]!r}: measure optimized_parameters(model, optimizer)"
            )
        self.groups: dict[int, GroupLimit] = {}
        for index in sorted({where[name] for name in hessian.space.names}):
            lr = float(optimizer.param_groups[index]["lr"]) * lr_factor
            self.groups[index] = group_limit(optimizer, index, lr=lr)
        self.limit = min(group.upper for group in self.groups.values())
        tensors = dict(unwrapped(model).named_parameters())
        divisors, decays, margins = [], [], []
        for name in hessian.space.names:
            tensor, limit = tensors[name], self.groups[where[name]]
            scale = limit.upper / self.limit if 0 < self.limit < inf else 1.0
            divisors.append(preconditioner(optimizer, limit.index, tensor).detach() * scale)
            decays.append(torch.full_like(tensor, limit.coupled_decay))
            margins.append(torch.full_like(tensor, -limit.lower / scale if abs(limit.lower) < inf else 0.0))
        self.divisor_P, self.decay_P, self.margin_P = map(hessian.space.flatten, (divisors, decays, margins))
        self.hessian = hessian
        super().__init__(ShiftedOperator(hessian, self.decay_P), self.divisor_P)

    @property
    def sole_group(self) -> GroupLimit | None:
        """The one parameter group behind these parameters, None where there are several."""
        return next(iter(self.groups.values())) if len(self.groups) == 1 else None

    @property
    def lower(self) -> float | None:
        """Eigenvalues below it belong to growing directions; None where groups differ in it."""
        margin = self.margin_P[torch.isfinite(self.divisor_P)]
        if len(margin) == 0 or not bool((margin == margin[0]).all()):
            return None
        return -float(margin[0])

    def ratio(self, eigenvalue: float) -> float:
        """Return the learning rate over the largest that is stable in a direction: above 1 the step is unstable there.

        That is `rho = eigenvalue / limit`, since the limit is inversely proportional to the rate; under decoupled decay
        it is proportional to `2 / lr - alpha`, so that the quotient of the rates is `rho + (1 - rho) lr alpha / 2`.
        Where groups differ in decoupled decay the second term is left out; it is 0 at the limit.
        """
        if self.limit <= 0:
            return inf
        if self.limit == inf:
            return 0.0
        rho = eigenvalue / self.limit
        shrinking = {group.lr * group.weight_decay * group.decoupled for group in self.groups.values()}
        return rho + (1 - rho) * shrinking.pop() / 2 if len(shrinking) == 1 else rho

    @property
    def undecayed(self) -> PreconditionedOperator:
        """The same without weight decay, `D^{-1/2} H D^{-1/2}`: the loss's own Hessian as the optimizer sees it."""
        return PreconditionedOperator(self.hessian, self.divisor_P)

    def decay_along(self, vector_P: Tensor) -> float:
        """Return what coupled weight decay adds to the eigenvalue of the unit vector `x`, `x^T D^{-1} C x`."""
        weight = self.scale_P * vector_P
        return float((self.decay_P * weight).dot(weight))

    def pull_back(self, gradient_P: Tensor) -> Tensor:
        """Return a gradient in weights as the gradient in this operator's coordinates, `D^{-1/2} g`."""
        return self.scale_P * gradient_P

    def coordinates(self, weights_P: Tensor) -> Tensor:
        """Return a change of the weights in this operator's coordinates, `D^{1/2} w` (0 where nothing moves)."""
        return torch.where(torch.isfinite(self.divisor_P), self.divisor_P.sqrt(), 0.0) * weights_P

    def growth_operator(self) -> SymmetricOperator:
        """Return the operator whose negative eigenvalues are the growing directions: this one plus decay."""
        return ShiftedOperator(self, self.margin_P)
