"""A task's factories with something done to all that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn
from torch.optim import Optimizer

from lastbit.core.generators import LentGenerators
from lastbit.tasks import Task
from lastbit.tasks.stepping import make_optimizers, make_schedules

__all__ = ["optimizers_of", "with_each_optimizer", "with_model"]


def with_model(task: Task, change: Callable[[nn.Module], nn.Module]) -> Task:
    """Return the task with every network changed that it makes."""
    return replace(task, model=partial(_changed_model, task.model, change))


def _changed_model(make: Callable[[], nn.Module], change: Callable[[nn.Module], nn.Module]) -> nn.Module:
    return change(make())


def with_each_optimizer(task: Task, change: Callable[[Optimizer], None]) -> Task:
    """Return the task with every optimizer changed, in place, that it makes."""
    make = task.optimizer
    if isinstance(make, Mapping):
        changed: Any = {name: partial(_changed_optimizers, one, change) for name, one in make.items()}
    else:
        changed = partial(_changed_optimizers, make, change)
    return replace(task, optimizer=changed)


def _changed_optimizers(
    make: Callable[[Iterable[nn.Parameter]], Any], change: Callable[[Optimizer], None], params: Iterable[nn.Parameter]
) -> Any:
    made = make(params)
    several = made.values() if isinstance(made, Mapping) else made if isinstance(made, Sequence) else [made]
    for one in several:
        # What is no optimizer is for the task's own check to say.
        if isinstance(one, Optimizer):
            change(one)
    return made


def optimizers_of(task: Task) -> list[Optimizer]:
    """Return the optimizers of a task as its first step finds them, of a network that is thrown away."""
    with LentGenerators(0).active():
        optimizers, _ = make_optimizers(task.optimizer, task.model())
        make_schedules(task.schedule, optimizers, task.total_steps)
    return list(optimizers.values())
