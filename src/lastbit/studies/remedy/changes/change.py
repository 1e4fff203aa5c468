"""What every change of a training has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.tasks import Task, TaskConfig

__all__ = ["Change", "Subject"]


@dataclass(frozen=True)
class Subject:
    """The training that is changed."""

    task: Task
    config: TaskConfig | None
    """The settings of a built-in task; None of any other."""
    dtype: str
    """Format of its weights."""
    perturbations: int
    """Runs of each seed, the unperturbed one included."""


class Change(ABC):
    """A change of a training, by the text that names it; plain data."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name, which is the text that it is parsed from."""

    @property
    @abstractmethod
    def says(self) -> str:
        """What it does, in a few words."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings of the study that its runs take, by name."""
        return {}

    @property
    def program(self) -> Mapping[str, Any]:
        """Settings of a built-in task that its runs take, by name."""
        return {}

    def on(self, task: Task) -> Task:
        """Return the task with the change made."""
        return task

    @abstractmethod
    def check(self, subject: Subject) -> None:
        """Refuse a training that it cannot change.

        Raises:
            LastbitError: says what it lacks.
        """

    def refused(self, why: str) -> LastbitError:
        """Return the error of a training that it cannot change."""
        return LastbitError(f"--change {self.name}: {why}; leave it out")
