"""What perturbations of the update share: see a step from both sides, change the weights, trust no wrong direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.optim import Optimizer

from lastbit.core.errors import LastbitError
from lastbit.optimizers.parts import Direction
from lastbit.optimizers.registry import rule_of
from lastbit.optimizers.step import OptimizerStep, Snapshot
from lastbit.perturb.base import Attachment

__all__ = ["Change", "UpdateAttachment"]

_CHECKED_STEPS = 3
"""Steps whose direction is checked: in the first, momentum is still the gradient; the others tell them apart."""


Change: TypeAlias = Callable[[OptimizerStep, Direction | None], Tensor]
"""Gives the weights to put in the place of `step.after`; the direction is None where it is not known."""


class UpdateAttachment(Attachment):
    """Replaces the weights that each step leaves; state, gradients and learning rate stay untouched.

    Args:
        optimizer: the optimizer to hook.
        change: what is done in one step, given the number of steps before it.
    """

    def __init__(self, optimizer: Optimizer, change: Callable[[int], Change]) -> None:
        super().__init__(optimizer)
        self._rule = rule_of(type(optimizer), "direction")
        self._change = change
        self._snapshot: Snapshot | None = None
        self._under_way = False
        self._to_check = _CHECKED_STEPS

    @torch.no_grad()
    def _before_step(self, optimizer: Optimizer) -> None:
        if self._snapshot is None:
            self._snapshot = Snapshot(optimizer, self._rule)
        else:
            self._snapshot.take()
        self._under_way = True

    @torch.no_grad()
    def _after_step(self, optimizer: Optimizer) -> None:
        # The step may have been under way when the perturbation was attached.
        if self._snapshot is None or not self._under_way:
            return
        self._under_way = False
        if self._to_check > 0:
            _check_directions(self._snapshot, optimizer)
        self._to_check -= 1
        change = self._change(self._steps)
        for step in self._snapshot.steps():
            step.write(change(step, step.direction()))


def _check_directions(snapshot: Snapshot, optimizer: Optimizer) -> None:
    """Check that directions lead to the weights that the optimizer's own step left.

    The two may differ by rounding, which in the mean over a group is far below the root of the format's epsilon times
    the update plus a few ulps of the weights; a wrong direction differs by the order of the update itself. Weights that
    are not finite pass: a diverging run is no wrong direction.

    Raises:
        LastbitError: one leads elsewhere.
    """
    sums: dict[int, Tensor] = {}
    for step in snapshot.steps():
        direction = step.direction()
        if direction is None:
            continue
        epsilon = torch.finfo(step.after.dtype).eps
        missed = (direction.applied(step.before) - step.after).double().abs().sum()
        update = (step.after - step.before).double().abs().sum()
        allowed = epsilon**0.5 * update + 4 * epsilon * step.after.double().abs().sum()
        found = torch.stack([missed, update, allowed]).cpu()
        sums[id(step.group)] = sums.get(id(step.group), 0) + found
    for missed, update, allowed in sums.values():
        if bool(missed > allowed):
            name = type(optimizer).__name__
            raise LastbitError(
                f"the direction registered for {name} does not lead where {name} stepped (missed by "
                f"{float(missed):.3g} of an update of {float(update):.3g}): correct it with register({name}, "
                "direction=...)"
            )
