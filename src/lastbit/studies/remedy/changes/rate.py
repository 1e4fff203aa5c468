"""The learning rate over the steps: another course, or a warm-up in front of the task's own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lastbit.core.generators import LentGenerators
from lastbit.core.words import typed
from lastbit.studies.remedy.changes.change import Change, Subject
from lastbit.tasks import Task
from lastbit.tasks.schedules import make_schedule
from lastbit.tasks.stepping import make_optimizers, make_schedules

__all__ = ["Course", "WarmUp"]


def _rates(task: Task) -> list[list[float]]:
    """Return the learning rates of every step of a training that is thrown away; none where they wait for a loss."""
    with LentGenerators(0).active():
        optimizers, _ = make_optimizers(task.optimizer, task.model())
    schedules = make_schedules(task.schedule, optimizers, task.total_steps)
    steady = [one for one in schedules.values() if not isinstance(one, ReduceLROnPlateau)]
    if len(steady) < len(schedules):
        return []
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no optimizer takes a step
        for _ in range(task.total_steps):
            found.append([float(group["lr"]) for one in optimizers.values() for group in one.param_groups])
            for one in steady:
                one.step()
    return found


@dataclass(frozen=True)
class Course(Change):
    """One of the built-in schedules in place of the task's own.

    Attributes:
        to: one of `SCHEDULES`.
    """

    to: str

    @property
    def name(self) -> str:
        """Its name."""
        return f"schedule={self.to}"

    @property
    def says(self) -> str:
        """What it does."""
        return f"a {self.to} learning rate over the steps"

    def on(self, task: Task) -> Task:
        """Return the task with the schedule."""
        return replace(task, schedule=None if self.to == "constant" else partial(make_schedule, name=self.to))

    def check(self, subject: Subject) -> None:
        """Refuse a training with these rates already.

        Raises:
            LastbitError: it has them.
        """
        if _rates(subject.task) == _rates(self.on(subject.task)):
            raise self.refused("the training has this schedule already")


@dataclass(frozen=True)
class WarmUp(Change):
    """The task's own learning rates, rising in proportion to the steps over the first of them.

    Attributes:
        share: of all steps, above 0 and below 1.
    """

    share: float

    @property
    def name(self) -> str:
        """Its name."""
        return f"warmup={typed(self.share)}"

    @property
    def says(self) -> str:
        """What it does."""
        return f"learning rates that rise over the first {typed(100 * self.share)}% of the steps"

    def on(self, task: Task) -> Task:
        """Return the task with a warm-up in front of its schedule."""
        first = max(1, round(self.share * task.total_steps))
        return replace(task, schedule=partial(_warmed, make=task.schedule, first=first))

    def check(self, subject: Subject) -> None:
        """Refuse a share that is none, and a schedule that waits for a loss.

        Raises:
            LastbitError: it is one.
        """
        if not 0 < self.share < 1:
            raise self.refused("give the share of the steps, above 0 and below 1")
        if isinstance(subject.task.schedule, Mapping):
            raise self.refused("the task's optimizers have schedules by name")
        if not _rates(subject.task):
            raise self.refused("the schedule waits for a plateau of the loss")


def _warmed(optimizer: Optimizer, steps: int, *, make: Any, first: int) -> LRScheduler:
    return _WarmUpScheduler(optimizer, None if make is None else make(optimizer, steps), first)


class _WarmUpScheduler(LRScheduler):
    """Another scheduler's learning rates, times `(t + 1) / (n + 1)` at step `t < n`.

    The other never sees the smaller rates: those that it works out from the last ones are as they were.
    """

    def __init__(self, optimizer: Optimizer, inner: LRScheduler | None, first: int) -> None:
        self._inner, self._first, self._count = inner, first, 0
        self._rates = [group["lr"] for group in optimizer.param_groups]
        self.optimizer = optimizer
        self._set()

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next step."""
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate
        if self._inner is not None:
            self._inner.step()
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self._count += 1
        self._set()

    def _set(self) -> None:
        if self._count < self._first:
            for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
                group["lr"] = rate * (self._count + 1) / (self._first + 1)

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on."""
        inner = None if self._inner is None else self._inner.state_dict()
        return {"count": self._count, "rates": list(self._rates), "inner": inner}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._count, self._rates = state_dict["count"], list(state_dict["rates"])
        if self._inner is not None:
            self._inner.load_state_dict(state_dict["inner"])
