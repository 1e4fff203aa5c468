"""Why a program cannot be put onto another: what it trains has other names or shapes."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["refusal"]

_MOST = 5

Shapes = Mapping[str, tuple[int, ...]]


def refusal(reference: Shapes, mine: Shapes) -> str:
    """Return what differs in names and shapes, in one line; nothing where nothing does."""
    parts = []
    for who, these, others in (("reference", reference, mine), ("candidate", mine, reference)):
        alone = [f"{name} {_shape(these[name])}" for name in these if name not in others]
        if alone:
            parts.append(f"only the {who} trains {_listed(alone)}")
    other = [
        f"{name} is {_shape(shape)} in the reference and {_shape(mine[name])} in the candidate"
        for name, shape in reference.items()
        if name in mine and mine[name] != shape
    ]
    if other:
        parts.append(_listed(other))
    return "; ".join(parts)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more
