"""Adagrad."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastbit.optimizers.linear_update import LinearUpdate
from lastbit.optimizers.parts import Direction
from lastbit.optimizers.registry import Group, State, register

if TYPE_CHECKING:
    from torch import Tensor

    from lastbit.optimizers.step import OptimizerStep

__all__: list[str] = []


def _direction(step: OptimizerStep) -> Direction:
    """`d = g / (sqrt(sum g^2) + eps)` with step size `lr / (1 + (t - 1) * lr_decay)`."""
    group = step.group
    step_size = float(group["lr"]) / (1 + (step.count() - 1) * float(group["lr_decay"]))
    return Direction(step_size, step.decayed_gradient(), step.state("sum").sqrt_().add_(float(group["eps"])))


def _linear_update(group: Group, step: int) -> LinearUpdate:
    return LinearUpdate([[1.0]], [-float(group["lr"]) / (1 + (step - 1) * float(group["lr_decay"]))])


def _preconditioner(group: Group, state: State) -> Tensor:
    root: Tensor = state["sum"].sqrt()
    return root + float(group["eps"])


register("torch.optim:Adagrad", direction=_direction, linear_update=_linear_update, preconditioner=_preconditioner)
