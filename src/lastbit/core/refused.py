"""What pydantic refuses, in one sentence: its own words name neither the setting nor what arrived."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from lastbit.core.words import typed

__all__ = ["first_refusal", "spaced"]

_MUST = {
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_type": "a whole number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "literal_error": "{expected}",
}
"""By pydantic's type of error, what the value must be."""


def first_refusal(shown: str, error: ValidationError) -> str:
    """Return what was wrong first, what arrived and what is accepted, in one sentence.

    Args:
        shown: the setting as the user writes it, `--seeds`.
        error: pydantic's.

    Example:
        >>> from typing import Annotated
        >>> from pydantic import Field, TypeAdapter
        >>> try:
        ...     TypeAdapter(Annotated[int, Field(ge=1)]).validate_python(0)
        ... except ValidationError as error:
        ...     first_refusal("--seeds", error)
        '--seeds must be at least 1, got 0'
    """
    first = error.errors(include_url=False)[0]
    value, context = first["input"], first.get("ctx", {})
    must = _MUST.get(first["type"])
    if must is not None:
        bounds = {name: bound if isinstance(bound, str) else typed(bound) for name, bound in context.items()}
        return f"{shown} must be {must.format(**bounds)}, got {_shown(value)}"
    cause = context.get("error")
    message = str(cause) if cause is not None else first["msg"][0].lower() + first["msg"][1:]
    arrived = f" {spaced(value)}" if isinstance(value, list | tuple) else f" = {_shown(value)}"
    return f"{shown}{arrived}: {message}" if shown else message


def spaced(values: Iterable[Any]) -> str:
    """Return several values side by side, as they stand behind a flag."""
    return " ".join(map(typed, values)) or "none"


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return spaced(value)
    return typed(value) if isinstance(value, int | float) else repr(value)
