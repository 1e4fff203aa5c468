"""A task defined by a user's own Python file: `FILE.py:FUNCTION`, a function that returns a Task."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.tasks.function import TrainingFunction, is_training
from lastbit.tasks.task import Task
from lastbit.tasks.task_module import last_line, task_module

__all__ = ["file_and_function", "load_file_task"]

_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def load_file_task(reference: str, arguments: Mapping[str, Any] = MappingProxyType({})) -> Task | TrainingFunction:
    """Return the task of `FILE.py:FUNCTION`, a function that works without arguments or with those given.

    A function whose one required parameter is `seed` makes no task: it is the training itself.

    The file is imported by its path, under a module name made from that path, so spawned processes can do the same;
    its folder joins the end of the import path, so that it can import its neighbours. The file is run and its function
    called once in a process, and again only if the file changes or the arguments do.

    Args:
        reference: the file and the function in it.
        arguments: passed by keyword; each must be a parameter of the function.

    Raises:
        LastbitError: there is no such file or function, importing or calling it raises, the function has no such
            parameter or needs others, or it does not return a `Task`.
    """
    name, function = file_and_function(reference)
    path = Path(name).expanduser()
    if not path.is_file():
        raise LastbitError(f"there is no task file {name!r}: write FILE.py:FUNCTION with the path of a Python file")
    stat = path.stat()
    return _load(path.resolve(), name, function, stat.st_mtime_ns, stat.st_size, tuple(arguments.items()))


def file_and_function(reference: str, command: str = "audit") -> tuple[str, str]:
    """Return the two parts of `FILE.py:FUNCTION`.

    Args:
        reference: both, as they were written.
        command: of lastbit's, which would repeat a whole script.

    Raises:
        LastbitError: it is written otherwise.
    """
    name, colon, function = reference.rpartition(":")
    if not colon or not function.isidentifier() or not name.endswith(".py"):
        script = f"; a whole script: lastbit {command} -- python {reference}" if reference.endswith(".py") else ""
        raise LastbitError(f"a task in a file is written FILE.py:FUNCTION, got {reference!r}{script}")
    return name, function


@lru_cache(maxsize=8)
def _load(
    path: Path, shown: str, function: str, changed: int, size: int, arguments: tuple[tuple[str, Any], ...]
) -> Task | TrainingFunction:
    """Import, call and check; `changed` and `size` serve to notice another version of the file."""
    make, given = _function(task_module(path, shown, changed, size), shown, function), dict(arguments)
    if is_training(make):
        if given:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise LastbitError(f"{flags}: {shown}:{function} is a training of its own, called with a seed alone")
        return TrainingFunction(make)
    _check_arguments(make, shown, function, given)
    try:
        task = make(**given)
    except (Exception, SystemExit) as error:
        raise LastbitError(f"{shown}:{function} raised {last_line(error, path)}") from error
    if not isinstance(task, Task):
        raise LastbitError(
            f"{shown}:{function} must return a lastbit Task, got {type(task).__name__} "
            f"(a function that trains takes the seed: `def {function}(seed): ...`)"
        )
    return task


def _function(module: ModuleType, shown: str, name: str) -> Callable[..., Any]:
    functions = [
        key for key, value in vars(module).items() if inspect.isfunction(value) and value.__module__ == module.__name__
    ]
    found = getattr(module, name, None)
    if found is None:
        listed = f"its functions are {', '.join(functions)}" if functions else "it has no functions"
        raise LastbitError(f"{shown} has no function {name!r}: {listed}")
    if not callable(found):
        raise LastbitError(
            f"{shown}:{name} is no function but of type {type(found).__name__}: write `def {name}(): ...`"
        )
    return found  # type: ignore[no-any-return]


def _check_arguments(make: Callable[..., Any], shown: str, function: str, given: Mapping[str, Any]) -> None:
    parameters = inspect.signature(make).parameters
    for name, value in given.items():
        # `**more` does not count: it would accept any name, and sweep over what the function ignores.
        if name not in parameters or parameters[name].kind not in _BY_KEYWORD:
            raise LastbitError(
                f"--{name.replace('_', '-')}: {shown}:{function} has no parameter {name}: "
                f"write `def {function}({name}={value!r}): ...` and use it there, or leave the flag out"
            )
    try:
        inspect.signature(make).bind(**given)
    except TypeError:
        needs, alone = ", ".join(parameters), f"with {', '.join(given)} alone" if given else "without arguments"
        raise LastbitError(f"{shown}:{function} must work {alone}, but it takes ({needs})") from None
