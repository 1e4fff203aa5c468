"""What is done to the gradient before a step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer

from lastbit.core.words import typed
from lastbit.studies.remedy.changes.change import Change, Subject
from lastbit.studies.remedy.changes.factories import optimizers_of, with_each_optimizer
from lastbit.tasks import Task
from lastbit.tasks.stepping import needs_closure

__all__ = ["Clip"]


@dataclass(frozen=True)
class Clip(Change):
    """The gradient of each optimizer scaled down to a norm where it is longer.

    Attributes:
        most: the L2 norm.
    """

    most: float

    @property
    def name(self) -> str:
        """Its name."""
        return f"clip={typed(self.most)}"

    @property
    def says(self) -> str:
        """What it does."""
        return f"gradients clipped to an L2 norm of {typed(self.most)}"

    def on(self, task: Task) -> Task:
        """Return the task whose optimizers clip."""
        return with_each_optimizer(task, partial(_clip_before_steps, most=self.most))

    def check(self, subject: Subject) -> None:
        """Refuse a norm of 0, and an optimizer that computes its gradients itself.

        Raises:
            LastbitError: it is one.
        """
        if self.most == 0:
            raise self.refused("a gradient of norm 0 trains nothing")
        if any(map(needs_closure, optimizers_of(subject.task))):
            raise self.refused("the optimizer computes its gradients within its step")


def _clip_before_steps(optimizer: Optimizer, most: float) -> None:
    optimizer.register_step_pre_hook(partial(_clip, most=most))


def _clip(optimizer: Optimizer, args: Any, kwargs: Any, *, most: float) -> None:
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], most)
