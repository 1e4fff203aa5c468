"""The stability limits of a live optimizer, read from its parameter groups and state."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite

import torch
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.optimizers.linear_update import LinearUpdate
from lastbit.optimizers.registry import OptimizerRule, needed_rule, rule_of

__all__ = ["GroupLimit", "StabilityLimit", "group_limit", "preconditioner", "stability_limit"]


@dataclass(frozen=True)
class GroupLimit:
    """What is stable for one parameter group in its next step.

    The eigenvalue that is limited is that of `P^{-1/2} (H + c I) P^{-1/2}`: `H` the Hessian of the loss without weight
    decay, `P` the preconditioner (1 for SGD), `c` the coupled weight decay (0 where decay is decoupled).

    Attributes:
        index: position in `optimizer.param_groups`.
        lr: learning rate now.
        weight_decay: alpha.
        decoupled: whether alpha multiplies the weights (AdamW) instead of entering the gradient.
        preconditioned: whether the optimizer has a preconditioner.
        lower: smallest stable eigenvalue; below it directions grow (0 without decoupled decay).
        upper: largest stable eigenvalue, infinite at lr = 0.
        update: the linear update both come from.
    """

    index: int
    lr: float
    weight_decay: float
    decoupled: bool
    preconditioned: bool
    lower: float
    upper: float
    update: LinearUpdate = field(repr=False)

    @property
    def coupled_decay(self) -> float:
        """The part of weight decay that adds to the curvature."""
        return 0.0 if self.decoupled else self.weight_decay

    @property
    def limit(self) -> float:
        """The limit as the loss's own Hessian sees it: `upper - alpha` for SGD, `upper` with a preconditioner."""
        return self.upper if self.preconditioned else self.upper - self.coupled_decay


@dataclass(frozen=True)
class StabilityLimit:
    """The limits of all parameter groups.

    Attributes:
        optimizer: class name.
        groups: one per parameter group, in order.
    """

    optimizer: str
    groups: tuple[GroupLimit, ...]

    @property
    def limit(self) -> float:
        """The smallest limit of the groups: `2/lr - alpha` for gradient descent with weight decay alpha."""
        return min(group.limit for group in self.groups)

    def __float__(self) -> float:
        """Return `limit`."""
        return self.limit


def stability_limit(optimizer: torch.optim.Optimizer) -> StabilityLimit:
    """Return the largest curvature that the optimizer's next step is stable for, per parameter group.

    The limit is where the companion matrix of the optimizer's own linear update reaches spectral radius 1, with the
    learning rate, momentum, decay, step count and preconditioner frozen as they are now. Learning rates may be
    tensors and change by a schedule: they are read at each call.

    Args:
        optimizer: SGD, ASGD, Adam, AdamW, NAdam, RAdam, Adamax, RMSprop, Adagrad, Adadelta, or a class registered by
            `lastbit.optimizers.register`.

    Raises:
        LastbitError: no linear update describes the class, or a group maximizes its objective.

    Example:
        >>> weights = [torch.nn.Parameter(torch.zeros(3))]
        >>> float(stability_limit(torch.optim.SGD(weights, lr=0.1)))
        20.0
        >>> float(stability_limit(torch.optim.SGD(weights, lr=0.1, weight_decay=1.0)))
        19.0
    """
    _update_rule(optimizer)  # refused before its groups are read
    groups = tuple(group_limit(optimizer, index) for index in range(len(optimizer.param_groups)))
    return StabilityLimit(type(optimizer).__name__, groups)


def _update_rule(optimizer: torch.optim.Optimizer) -> OptimizerRule:
    """Return the linear update of an optimizer and what belongs to it.

    Raises:
        LastbitError: no linear update describes the class, or none is registered for its `step`.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise LastbitError(f"expected a torch.optim.Optimizer, got {type(optimizer).__name__}")
    kind = type(optimizer)
    if (refusal := rule_of(kind, "refused")) and rule_of(kind, "linear_update") is None:
        raise LastbitError(
            f"{kind.__name__} has no stability limit: {refusal.refused}, so its update is not linear in the "
            "curvature; measure the sharpness alone with top_eigenpairs"
        )
    return needed_rule(kind, "linear_update")


def group_limit(optimizer: torch.optim.Optimizer, index: int, **changes: float) -> GroupLimit:
    """Return the limit of one parameter group in its next step, with `changes` of its settings.

    Raises:
        LastbitError: the group maximizes, its learning rate is negative or not finite, or its rule gives no update.
    """
    rule, group = _update_rule(optimizer), {**optimizer.param_groups[index], **changes}
    if group.get("maximize", False):
        raise LastbitError(
            "maximize=True flips the curvature: minimise the negated loss, with maximize=False, to measure it"
        )
    lr = float(group["lr"])
    if not (isfinite(lr) and lr >= 0):
        raise LastbitError(f"the learning rate of parameter group {index} is {lr}: a limit needs a finite lr >= 0")
    assert rule.linear_update is not None
    states = [optimizer.state.get(parameter, {}) for parameter in group["params"]]
    # A group is as old as its youngest tensor.
    taken = min((float(state["step"]) for state in states if "step" in state), default=0.0)
    update = rule.linear_update(group, 1 + int(taken))
    if not isinstance(update, LinearUpdate):
        raise LastbitError(
            f"a registered linear update returned a {type(update).__name__}: return LinearUpdate(free=..., gain=...)"
        )
    lower, upper = update.stable_interval()
    return GroupLimit(
        index=index,
        lr=lr,
        weight_decay=float(group.get("weight_decay", 0.0)),
        decoupled=rule.decoupled is not None and rule.decoupled(group),
        preconditioned=rule.preconditioner is not None,
        lower=lower,
        upper=upper,
        update=update,
    )


def preconditioner(optimizer: torch.optim.Optimizer, index: int, parameter: Tensor) -> Tensor:
    """Return the diagonal that divides the gradient of one tensor of a group; infinite where it never moved.

    Raises:
        LastbitError: the optimizer has a preconditioner but has taken no step yet.
    """
    rule = _update_rule(optimizer)
    if rule.preconditioner is None:
        return torch.ones_like(parameter)
    state = optimizer.state.get(parameter, {})
    if state and float(state.get("step", 1)) > 0:
        return rule.preconditioner(optimizer.param_groups[index], state).detach()
    if not any(float(held.get("step", 1)) > 0 for held in optimizer.state.values()):
        raise LastbitError(
            f"{type(optimizer).__name__} has taken no step yet, so its preconditioner is not defined: take one "
            "step first"
        )
    return torch.full_like(parameter, inf)
