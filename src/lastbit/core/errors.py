"""What lastbit says when it cannot go on: one line, what arrived, what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar

from lastbit.core.exit_codes import ExitCode

__all__ = ["LastbitError", "MissingExtraError", "choose"]


class LastbitError(Exception):
    """A problem that the user can fix.

    The message is one line that says what was wrong, what arrived and what to write instead; lines below it list what
    there is to choose from. The command line prints it without a traceback, the list first, and exits with `exit_code`.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.BAD_INPUT


class MissingExtraError(LastbitError, ImportError):
    """An optional library is not installed.

    Args:
        what: was asked for.
        library: that it needs, as its users call it.
        extra: of lastbit that installs it.
        instead: what does without, `, or ...`.
    """

    def __init__(self, what: str, library: str, extra: str, instead: str = "") -> None:
        super().__init__(f"{what} needs {library}: pip install 'lastbit[{extra}]'{instead}")


def choose(value: str, valid: Iterable[str], what: str) -> str:
    """Return `value` if it is one of `valid`.

    Args:
        value: the name that arrived.
        valid: the names that are understood.
        what: what is being named, for the message (`"model"`, `"--optimizer"`).

    Raises:
        LastbitError: names the valid choices, and the closest one where there is one.

    Example:
        >>> choose("sgd", ["sgd", "adam"], "optimizer")
        'sgd'
    """
    names = list(valid)
    if value in names:
        return value
    close = get_close_matches(value, names, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise LastbitError(f"unknown {what} {value!r}{hint}: choose one of {', '.join(names)}")
