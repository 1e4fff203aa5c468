"""Learning rate, weight decay and batch size by a factor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch.optim import Optimizer

from lastbit.core.words import plural, typed
from lastbit.studies.remedy.changes.change import Change, Subject
from lastbit.studies.remedy.changes.factories import optimizers_of, with_each_optimizer
from lastbit.tasks import Task

__all__ = ["Batch", "Decay", "Scaled", "StepSize"]


@dataclass(frozen=True)
class Scaled(Change):
    """A number of a training, times or over another.

    Attributes:
        sign: `*` or `/`.
        by: above 0, as it was written.
    """

    sign: str
    by: float

    what = ""
    """Its name in front of the sign."""

    @property
    def name(self) -> str:
        """Its name."""
        return f"{self.what}{self.sign}{typed(self.by)}"

    def scaled(self, value: Any) -> Any:
        """Return a value times, or over, the number."""
        return value * self.by if self.sign == "*" else value / self.by

    @property
    def _words(self) -> str:
        return f"{'times' if self.sign == '*' else 'divided by'} {typed(self.by)}"


def _scale(name: str, change: Scaled, optimizer: Optimizer) -> None:
    for group in (*optimizer.param_groups, optimizer.defaults):
        if group.get(name) is not None:
            group[name] = change.scaled(group[name])


@dataclass(frozen=True)
class StepSize(Scaled):
    """The learning rate of every group of every optimizer, by a factor; a schedule follows it."""

    what = "lr"

    @property
    def says(self) -> str:
        """What it does."""
        return f"learning rate {self._words}"

    def on(self, task: Task) -> Task:
        """Return the task with the learning rate changed."""
        return with_each_optimizer(task, partial(_scale, "lr", self))

    def check(self, subject: Subject) -> None:
        """Refuse a training whose rate at the first step stays what it was.

        Raises:
            LastbitError: the schedule sets the rate itself, or an optimizer has none.
        """
        before, after = (
            [float(group["lr"]) for one in optimizers_of(task) for group in one.param_groups if "lr" in group]
            for task in (subject.task, self.on(subject.task))
        )
        if before == after:
            raise self.refused("the schedule sets the learning rate itself, whatever the optimizer has")


@dataclass(frozen=True)
class Decay(Scaled):
    """The weight decay of every group of every optimizer, by a factor."""

    what = "decay"

    @property
    def says(self) -> str:
        """What it does."""
        return f"weight decay {self._words}"

    def on(self, task: Task) -> Task:
        """Return the task with the weight decay changed."""
        return with_each_optimizer(task, partial(_scale, "weight_decay", self))

    def check(self, subject: Subject) -> None:
        """Refuse a training without weight decay.

        Raises:
            LastbitError: no group has any.
        """
        groups = [group for one in optimizers_of(subject.task) for group in one.param_groups]
        if not any(float(group.get("weight_decay") or 0) for group in groups):
            raise self.refused("the optimizer has no weight decay")


@dataclass(frozen=True)
class Batch(Scaled):
    """The examples of a step by a factor, the epochs as they are: larger batches are fewer steps."""

    what = "batch"

    @property
    def says(self) -> str:
        """What it does."""
        return f"batch size {self._words}, as many epochs"

    def on(self, task: Task) -> Task:
        """Return the task with the batch size changed."""
        return replace(task, batch_size=round(self.scaled(task.batch_size)))

    def check(self, subject: Subject) -> None:
        """Refuse a size that is no whole number, or that the examples do not fill.

        Raises:
            LastbitError: it is one, or a sampler makes the batches.
        """
        task, size = subject.task, self.scaled(subject.task.batch_size)
        if size != round(size) or size < 1:
            raise self.refused(f"{task.batch_size} {self._words} is no whole number")
        if size > len(task.train):
            raise self.refused(
                f"a batch of {round(size)} is more than the {plural(len(task.train), 'training example')}"
            )
        if self.on(task).steps_per_epoch == task.steps_per_epoch:
            raise self.refused("an epoch keeps its number of steps, for a sampler makes the batches")
