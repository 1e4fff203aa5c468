"""Rprop, which steps by the sign of the gradient with a step size for each weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastbit.optimizers.parts import Direction
from lastbit.optimizers.registry import register

if TYPE_CHECKING:
    from lastbit.optimizers.step import OptimizerStep


def _direction(step: OptimizerStep) -> Direction:
    """`d = sign(g)`, 0 where the gradient has just changed its sign, with the weight's own step size."""
    # What it keeps as the last gradient is the one it stepped by.
    return Direction(step.state("step_size"), step.state("prev").sign_())


register("torch.optim:Rprop", direction=_direction)
