"""What the first step of a task raises, said in one line before a folder is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lastbit.core.errors import LastbitError

__all__ = ["first_step"]


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
    except Exception as error:
        told = " ".join(str(error).split())
        raise LastbitError(f"the first training step of {name} raised {type(error).__name__}: {told[:300]}") from error
