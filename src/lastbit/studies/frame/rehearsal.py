"""What a task's own code raises where lastbit calls it in this process, said in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lastbit.core.errors import LastbitError

__all__ = ["first_step", "no_exit"]


@contextmanager
def first_step(name: str) -> Iterator[None]:
    """Say in one line what the first training step of the task `name` raised, as an error of that task.

    Raises:
        LastbitError: the step raised anything.
    """
    try:
        yield
    except LastbitError:
        raise
    except (Exception, SystemExit) as error:
        told = " ".join(str(error).split())
        raise LastbitError(f"the first training step of {name} raised {type(error).__name__}: {told[:300]}") from error


@contextmanager
def no_exit(name: str) -> Iterator[None]:
    """Let nothing in the task `name` end the program: `sys.exit` in a user's code is an error of it.

    Raises:
        LastbitError: something called it.
    """
    try:
        yield
    except SystemExit as error:
        raise LastbitError(f"code of {name} ended the program with sys.exit({error.code!r}): leave that out") from error
