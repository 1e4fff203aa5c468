"""The programs of a study, as a caller names them: one, or several that are held against each other."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import Any, TypeAlias

from lastbit.core.errors import LastbitError, choose
from lastbit.tasks import Task, TaskConfig
from lastbit.tasks.config import is_task_file
from lastbit.tasks.registry import TASKS

__all__ = ["LETTERS", "Arm", "Trains", "arm_of"]

LETTERS = ascii_lowercase
"""What arms are called, in their order."""

Trains: TypeAlias = str | Task | Callable[[int], Any] | Sequence[str] | None
"""Name of a built-in task, `"FILE.py:FUNCTION"`, a `Task`, a function `train(seed)`, the words of a command; None where
the settings, or the study to resume, name it."""


@dataclass(frozen=True)
class Arm:
    """One program of a study."""

    what: Trains
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of its task, by name, over those of all arms."""

    @property
    def is_command(self) -> bool:
        """Whether it is the words of a command."""
        return isinstance(self.what, list | tuple)


def arm_of(what: Trains) -> Arm:
    """Return the arm that a caller names; text is a task with its options, or else a command.

    Raises:
        LastbitError: the text is empty, its quotes do not match, or an option has no name that a task knows.

    Example:
        >>> arm_of("digits --lr 0.1").settings, arm_of("python train.py").what
        ({'lr': '0.1'}, ('python', 'train.py'))
    """
    if not isinstance(what, str):
        return Arm(what)
    try:
        words = shlex.split(what)
    except ValueError as error:
        raise LastbitError(f"{what!r} is no command ({error}): quote it as a shell would have it") from None
    if not words:
        raise LastbitError("a program is a task with its options, or a command: write 'python train.py'")
    name, *options = words
    if name.endswith(".py"):
        raise LastbitError(f"{name} is a script: write 'python {name}', or {name}:FUNCTION for a task that it makes")
    return Arm(name, _options(what, options)) if name in TASKS or is_task_file(name) else Arm(tuple(words))


def _options(text: str, words: Sequence[str]) -> dict[str, Any]:
    """Return the options of a task by name: a value, several as a tuple, or yes and no."""
    found: dict[str, Any] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            flag, equals, value = word[2:].partition("=")
            off = flag.startswith("no-") and flag.replace("-", "_") not in TaskConfig.model_fields
            name = choose(flag.removeprefix("no-" if off else "").replace("-", "_"), TaskConfig.model_fields, "option")
            found[name] = (value,) if equals else not off
        elif not name:
            raise LastbitError(f"{word!r} in {text!r} belongs to no option: write --NAME VALUE behind the task")
        else:
            found[name] = (*(found[name] if isinstance(found[name], tuple) else ()), word)
    return {name: value[0] if isinstance(value, tuple) and len(value) == 1 else value for name, value in found.items()}
