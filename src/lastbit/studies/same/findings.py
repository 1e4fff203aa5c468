"""Something that is other in the candidate by more than rounding, and the order in which such things come about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["Finding", "What", "ordered"]

What = Literal[
    "initial_weights",
    "data",
    "gradient_scale",
    "gradient",
    "schedule",
    "optimizer",
    "counter",
    "buffer",
    "copy",
    "length",
]
"""In the order in which one may be the cause of another within a step."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is other in the candidate."""

    what: What
    step: int
    """The first at which it shows, counted from 1; 0 before any."""
    steps: int
    """At how many of the compared steps it shows."""
    tensor: str
    """The one in which it shows most, or the name of a setting or counter; "" where it is of all tensors."""
    tensors: tuple[str, ...] = ()
    """All in which it shows."""
    said: str
    """What of it, in words that follow the tensor's name."""
    factor: float | None = None
    """Of a gradient's scale."""


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings in the order in which they came about: by step, causes before what they cause."""
    order = get_args(What)
    return tuple(sorted(findings, key=lambda one: (one.step, order.index(one.what))))
