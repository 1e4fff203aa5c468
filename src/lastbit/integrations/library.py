"""What the loggers share: a library imported when it is asked for, a server that answers, sinks that forgive."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from http.client import HTTPException
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from lastbit.core.errors import LastbitError, MissingExtraError
from lastbit.integrations.logged import numbers_of_record

if TYPE_CHECKING:
    from lastbit.curvature import StabilityRecord

__all__ = ["Progress", "check_answers", "first_sentence", "forgiving", "imported"]

Progress: TypeAlias = Callable[[int, int], None]
"""Told how many runs are logged, and of how many."""

_SECONDS = 10.0
"""In which a server must answer; the libraries themselves try for minutes."""


def imported(module: str, extra: str) -> Any:
    """Return a module of a library that not everybody has.

    Raises:
        LastbitError: it is not installed; says what to install.
    """
    try:
        return import_module(module)
    except ImportError as error:
        lacking = "" if error.name in (None, extra) else f" ({error.name} is missing)"
        raise MissingExtraError(f"to log to {extra}", f"its library{lacking}", extra) from None


def check_answers(address: str) -> None:
    """Refuse a server that does not answer, whatever it would answer.

    Raises:
        LastbitError: it does not.
    """
    try:
        urlopen(Request(address, method="HEAD"), timeout=_SECONDS).close()
    except HTTPError:
        return
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise LastbitError(
            f"{address} cannot be reached ({first_sentence(reason)}): start it, or name another with --at"
        ) from None


def first_sentence(error: object) -> str:
    """Return the first sentence of what a library says, on one line of at most 200 characters."""
    text = " ".join(str(error).split())
    sentence = text.partition(". ")[0].rstrip(".")
    return sentence if len(sentence) <= 200 else f"{sentence[:199]}…"


def forgiving(name: str, send: Callable[[Mapping[str, float], int], object]) -> Callable[[StabilityRecord], None]:
    """Return a sink of the monitor that sends a record's numbers; one that fails is told once, and training goes on.

    Args:
        name: of the logger, for the warning.
        send: takes the numbers by name, and their step.
    """
    told = False

    def sink(record: StabilityRecord) -> None:
        nonlocal told
        try:
            send(numbers_of_record(record), record.step)
        except Exception as error:
            if not told:
                told = True
                warnings.warn(
                    f"{name} does not take the monitor's records ({type(error).__name__}: {first_sentence(error)}): "
                    "training goes on without it",
                    stacklevel=2,
                )

    return sink
