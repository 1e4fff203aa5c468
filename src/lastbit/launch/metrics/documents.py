"""JSON of a stranger: numbers stay as they were written, a key is found by its dots, and depth does no harm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lastbit.launch.metrics.printed import PrintedNumber, printed_number

__all__ = ["NumberText", "at_path", "leaves", "number_at_leaf", "parsed"]

_DEEPEST = 20
"""Levels below which no leaves are listed."""


class NumberText(str):
    """A number of a JSON document, as it was written."""

    __slots__ = ()


def parsed(text: str) -> Any:
    """Return a JSON document whose numbers are `NumberText`; NaN and Infinity are numbers, as Python writes them.

    Raises:
        ValueError: it is no JSON, or nested too deep to be read.
    """
    try:
        return json.loads(text, parse_float=NumberText, parse_int=NumberText, parse_constant=NumberText)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def number_at_leaf(value: Any) -> PrintedNumber | None:
    """Return the number that a value is or, as text, holds; None where it is none (true and false are none)."""
    return printed_number(value) if isinstance(value, str) else None


def at_path(document: Any, path: str) -> Iterator[Any]:
    """Yield what stands at a path of keys and list positions, joined by dots: none, one, or one for each list item.

    A key that itself has dots is found too; the longest key that is there wins. A list is entered by a position (`-1`
    is its last) or, by a key, item after item: `log_history.loss` is the loss of every item that has one. A list at
    the end of the path gives its items.

    Example:
        >>> list(at_path({"a": {"b.c": "1"}, "log": [{"loss": "3"}, {}, {"loss": "2"}]}, "a.b.c"))
        ['1']
        >>> list(at_path({"log": [{"loss": "3"}, {}, {"loss": "2"}]}, "log.loss"))
        ['3', '2']
    """
    for holder, key in _holders(document, path.split(".")):
        found = holder[key]
        yield from found if isinstance(found, list) else [found]


def _holders(document: Any, parts: list[str]) -> Iterator[tuple[Any, Any]]:
    """Yield the dict or list, and its key or position, that each value at the path hangs from."""
    if isinstance(document, dict):
        for count in range(len(parts), 0, -1):
            key, rest = ".".join(parts[:count]), parts[count:]
            if key in document:
                if not rest:
                    yield document, key
                    return
                below = list(_holders(document[key], rest))
                if below:
                    yield from below
                    return
    elif isinstance(document, list):
        position = parts[0]
        if position.removeprefix("-").isascii() and position.removeprefix("-").isdigit():
            at = int(position[:9])
            if -len(document) <= at < len(document):
                yield from _holders(document[at], parts[1:]) if len(parts) > 1 else [(document, at)]
            return
        for item in document:
            if isinstance(item, dict):
                yield from _holders(item, parts)


def leaves(document: Any, before: str = "", depth: int = 0) -> Iterator[tuple[str, PrintedNumber]]:
    """Yield every number below the keys of a document with its path; lists are passed over."""
    if not isinstance(document, dict) or depth > _DEEPEST:
        return
    for key, value in document.items():
        number = number_at_leaf(value)
        if number is not None:
            yield before + key, number
        else:
            yield from leaves(value, f"{before}{key}.", depth + 1)
