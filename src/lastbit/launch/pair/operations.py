"""What is known of an operation whatever it is called with: what it writes, and whether its result is its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["RECEIVES", "Operation"]

RECEIVES = "aten.set_.source_Storage"
"""How tensors from files and from other processes come, from several workers in whatever order."""

_OWN = ("lift_fresh", "lift")
"""They are declared as views, and are where values of Python and NumPy come in."""

_EMPTY = ("empty", "new_empty", "resize_")
"""What such memory holds is nobody's, and reading it would say that two runs differ."""

_ARRIVING = ("c10d.", "_c10d_functional.")
"""Collectives go on after they have returned; who reads the result has waited for it."""


class Operation:
    """An operation of the dispatcher."""

    __slots__ = ("arrives", "empty", "name", "received", "seeded", "silent", "views", "written")

    def __init__(self, func: Any) -> None:
        self.name = str(func)
        base = self.name.split(".")[1] if "." in self.name else self.name
        schema = getattr(func, "_schema", None)
        arguments = schema.arguments if schema is not None else ()
        shared = [(place, one) for place, one in enumerate(arguments) if one.alias_info is not None]
        self.written = tuple((place, one.name) for place, one in shared if one.alias_info.is_write)
        """The arguments that it writes, by place and name."""
        self.views = (bool(shared) and not self.written and base not in _OWN) or base == "_unsafe_view"
        """Whether its results show the memory of an argument, as it is."""
        self.seeded = torch.Tag.nondeterministic_seeded in getattr(func, "tags", ())
        self.received = self.name.startswith(RECEIVES)
        self.silent = self.name.startswith("profiler.")
        """Whether there is nothing to note."""
        self.empty = base.startswith(_EMPTY)
        self.arrives = self.name.startswith(_ARRIVING)

    def writes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Tensor]]:
        """Return the tensors that it was given to write, with their places; of a collective all that it was given."""
        if self.arrives:
            found = [(f"args.{place}", value) for place, value in enumerate(args)]
            found += [(f"kwargs.{name}", value) for name, value in kwargs.items()]
        else:
            found = [
                (f"args.{place}", args[place]) if place < len(args) else (f"kwargs.{name}", kwargs.get(name))
                for place, name in self.written
            ]
        return [one for place, value in found for one in _tensors(value, place)]


def _tensors(value: Any, place: str) -> list[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        return [(place, value)]
    if isinstance(value, (list, tuple)):
        return [found for index, one in enumerate(value) for found in _tensors(one, f"{place}.{index}")]
    return []
