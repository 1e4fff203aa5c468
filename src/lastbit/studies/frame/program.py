"""What a study repeats: a built-in task, a `Task`, a training function, either in a file, a command; and its sweep."""

from __future__ import annotations

import pickle
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from lastbit.core.config import validated
from lastbit.core.errors import LastbitError
from lastbit.launch.program import CommandProgram
from lastbit.studies.frame.settings import command_words
from lastbit.tasks import Task, TaskConfig
from lastbit.tasks.build import build_task, resolve
from lastbit.tasks.config import FILE_MAY_SET
from lastbit.tasks.file_task import load_file_task
from lastbit.tasks.function import TrainingFunction

__all__ = ["Change", "Program", "Trainee", "axis_values"]

Trainee: TypeAlias = Task | TrainingFunction | CommandProgram
"""What one training of a study is of."""


class Change(Protocol):
    """What is done to a task before it is trained: plain data, so that every process does the same."""

    @property
    def name(self) -> str:
        """What it is called; the same name is the same change."""

    def on(self, task: Task) -> Task:
        """Return the task with the change made."""


@dataclass(frozen=True)
class Program:
    """What is trained in every cell of a study, and the values along the axes of a sweep.

    Attributes:
        source: the resolved settings of a built-in task or of one in a file, a `Task`, a training function, or a
            command.
        axes: settings of the task that hold several values, of which the source has the first; and those that the
            function of a task in a file takes as arguments.
        change: what is done to the task that the source makes; None where nothing is.
    """

    source: TaskConfig | Trainee
    axes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    change: Change | None = None

    @classmethod
    def of(
        cls,
        task: str | Task | Callable[[int], Any] | None,
        settings: Mapping[str, Any],
        *,
        sweeps: Collection[str] = (),
        arguments: Collection[str] = (),
        defaults: Mapping[str, Any] | None = None,
    ) -> Program:
        """Return the program that flat settings describe.

        Args:
            task: name of a built-in task, `FILE.py:FUNCTION`, a `Task`, a function `train(seed)`, or None for the one
                in `settings`.
            settings: of the task, by name; those that are None are left out.
            sweeps: the settings that may hold several values.
            arguments: the settings that a task in a file takes as arguments of its function.
            defaults: of a built-in task, in place of its own.

        Raises:
            LastbitError: a name or a value that is invalid, or a setting that a `Task` decides itself.
        """
        given = {name: value for name, value in settings.items() if value is not None}
        if task is not None and not isinstance(task, str):
            own = [name for name in given if name != "task"]
            what = "Task" if isinstance(task, Task) else "function"
            if own:
                raise LastbitError(f"{own[0]} belongs to built-in tasks: set it in your {what}")
            return cls(task if isinstance(task, Task) else TrainingFunction(task))
        if task is not None:
            given["task"] = task
        is_file = TaskConfig(task=given.get("task", "digits")).is_file
        axes = dict.fromkeys([*sweeps, *(arguments if is_file else ())])
        several = {name: axis_values(name, given.pop(name)) for name in axes if name in given}
        outside = {name: values for name, values in several.items() if is_file and name in arguments}
        inside = {name: values for name, values in several.items() if name not in outside}
        first = {**given, **{name: values[0] for name, values in inside.items()}}
        for name, values in several.items():
            for value in values:
                # An argument of a function in a file is checked as the built-in network that has every axis takes it.
                of_task = {**(defaults or {}), **first}
                beside = of_task if name in inside else {"model": "cnn", "optimizer": "sgd", "depth": 1}
                validated(TaskConfig, {**beside, name: value}, flag="--")
        varied = {name: values for name, values in inside.items() if len(values) > 1}
        if not is_file:
            first = {**(defaults or {}), **first}
        arguments_first = {name: values[0] for name, values in outside.items()}
        return cls(resolve(validated(TaskConfig, first, flag="--"), arguments_first), {**varied, **outside})

    @property
    def name(self) -> str:
        """Name of the task."""
        return self.source.task if isinstance(self.source, TaskConfig) else self.source.name

    @property
    def travels(self) -> bool:
        """Whether a fresh process, which does not run the caller's main module, can build the task again."""
        if isinstance(self.source, TaskConfig | CommandProgram):
            return True
        try:
            return b"__main__" not in pickle.dumps(self.source)
        except (pickle.PicklingError, AttributeError, TypeError):
            return False

    @property
    def is_opaque(self) -> bool:
        """Whether nothing is known of it before it has run: it is a training function or a command."""
        if isinstance(self.source, TaskConfig) and self.source.is_file:
            return isinstance(load_file_task(self.source.task), TrainingFunction) if not self.axes else False
        return isinstance(self.source, TrainingFunction | CommandProgram)

    @property
    def text(self) -> str | None:
        """What `arm_of` takes for it; None of what stands in Python alone."""
        if isinstance(self.source, CommandProgram):
            return shlex.join(self.source.words)
        if not isinstance(self.source, TaskConfig):
            return None
        settings = {name: value for name, value in self.settings().items() if name != "task"}
        return shlex.join([self.source.task, *command_words(settings)])

    def task(self, changes: Mapping[str, Any]) -> Trainee:
        """Return the task with some of its settings changed, and with the program's own change made last.

        Args:
            changes: values by name; of a task in a file and of a `Task`, what they do not take from outside is handed
                to the file's function.

        Raises:
            LastbitError: the data are missing, or the task cannot be made with these values.
        """
        task = self._made(changes)
        return self.change.on(task) if self.change is not None and isinstance(task, Task) else task

    def _made(self, changes: Mapping[str, Any]) -> Trainee:
        if isinstance(self.source, Task):
            return replace(self.source, **changes) if changes else self.source
        if isinstance(self.source, TrainingFunction | CommandProgram):
            return self.source
        inside, arguments = self.split(changes)
        return build_task(self.source.model_copy(update=inside), arguments)

    @property
    def file(self) -> TaskConfig | None:
        """The settings of a task in a file; None of any other."""
        return self.source if isinstance(self.source, TaskConfig) and self.source.is_file else None

    def under(self, root: Path) -> Program:
        """Return the same program where the user's files lie under `root` by their full paths."""
        if self.file is None:
            return self
        name, _, function = self.file.task.rpartition(":")
        path = Path(name).expanduser()
        if not path.is_absolute():
            return self
        there = f"{root.joinpath(*path.parts[1:])}:{function}"
        return replace(self, source=self.file.model_copy(update={"task": there}))

    def split(self, changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return which changes are settings of the task, and which are arguments of the function in a file."""
        outside = self.file is not None
        arguments = {name: value for name, value in changes.items() if outside and name not in FILE_MAY_SET}
        return {name: value for name, value in changes.items() if name not in arguments}, arguments

    def spec(self) -> dict[str, Any]:
        """Return what `study.json` keeps: `object`, a name; `command`; or `program` and `axes`; `change`, if any."""
        change = {} if self.change is None else {"change": self.change.name}
        if isinstance(self.source, CommandProgram):
            return {"command": self.source.spec()}
        if not isinstance(self.source, TaskConfig):
            return {"object": self.source.name, **change}
        axes = {name: list(values) for name, values in self.axes.items()}
        return {"program": self.source.model_dump(), "axes": axes, **change}

    def settings(self) -> dict[str, Any]:
        """Return every setting by name, several values of an axis as a tuple; none of a `Task` or function."""
        return {**self.source.model_dump(), **self.axes} if isinstance(self.source, TaskConfig) else {}


def axis_values(name: str, value: Any) -> tuple[Any, ...]:
    """Return one value, several, or text with commas or spaces (`"0,0.1,1"`) as values; numbers where they are such.

    Raises:
        LastbitError: there is none, or one stands there twice.
    """
    flag = f"--{name.replace('_', '-')}"
    words = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    found: list[Any] = []
    for word in words:
        found += map(_number, re.split(r"\s*,\s*|\s+", word.strip())) if isinstance(word, str) else [word]
    if not found or "" in found:
        raise LastbitError(f"{flag} names no value: write one or several, such as {flag} 0 0.1 1")
    if len(set(found)) < len(found):
        raise LastbitError(f"{flag} {' '.join(map(str, found))}: name each value once")
    return tuple(found)


def _number(word: str) -> Any:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word
