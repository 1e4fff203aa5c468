"""What kind of break a break is, and how that is said."""

from __future__ import annotations

from typing import Any

import torch

from lastbit.launch.pair.tapes import Op
from lastbit.studies.doctor.cut import Break
from lastbit.studies.doctor.diagnosis import Root
from lastbit.studies.doctor.steps import Step, base_of

__all__ = ["DRAWS", "first_of", "root_of"]

DRAWS = frozenset(
    [
        "bernoulli",
        "bernoulli_",
        "native_dropout",
        "multinomial",
        "normal",
        "normal_",
        "rand",
        "rand_like",
        "randint",
        "randn",
        "randn_like",
        "random_",
        "randperm",
        "uniform_",
        "exponential_",
    ]
)
"""Operations that draw, by which an operation is known of which nothing but its name was kept."""

_SAID = {
    "operation": "Its inputs were equal in both runs, and its outputs were not.",
    "draw": "It drew from a generator that stood elsewhere in each run.",
    "scalar": "It was called with another number in each run ({first} and {second}).",
    "hyper": "The optimizer was set otherwise in each run ({first} and {second}).",
    "made": "It took in other values from Python or NumPy in each run.",
    "load": "It took in other values from a file or from another process in each run.",
    "uninitialised": "It gave memory that was used without having been filled.",
    "arrival": "What other threads or processes gave came in another order, or with other values, in each run.",
    "order": "It met the same values in both runs, in another order or another part of them.",
    "path": "From here on the two runs did other things, though all that had been computed was equal.",
    "length": "One run made another step and the other did not, though all that had been computed was equal.",
    "outside": "What it read had been changed by something that no operation of this process did.",
    "compiled": "The inputs of this compiled kernel were equal in both runs, and its outputs were not.",
    "unknown": "Nothing more was recorded of it.",
}


_LONGEST = 40
"""Characters of a number that is handed over, or of a list of them, that are told."""


def first_of(breaks: list[Break]) -> Break | None:
    """Return the break that came first."""
    return min(breaks, key=lambda one: (one.step.count, one.place), default=None)


def root_of(found: Break) -> Root:
    """Return what a break is."""
    kind = _kind(found)
    op = found.ops[0] or found.ops[1]
    line, name, step = (op.line, op.name, found.step.count) if op is not None else (None, None, found.step.count)
    if found.kind == "hyper":
        line, name, kind = line, None, "scalar"
    if found.kind == "earlier":
        origin = found.values[0].origin if found.values[0] is not None else None
        if origin is not None:
            line, name, step = origin.line, origin.name, origin.step
    said = _SAID[found.kind if found.kind == "hyper" else kind]
    first, second = (text.partition("=")[2] or text for text in found.detail)
    told = said.format(first=first, second=second)
    if kind != "scalar":
        return Root(kind, name, line, told, step + 1)
    if found.kind == "hyper":
        argument = found.chain.label
    else:
        argument = "" if op is None else _argument(op.name, found.detail[0].partition("=")[0])
    return Root(kind, name, line, told, step + 1, argument, (first[:_LONGEST], second[:_LONGEST]))


def _argument(operation: str, place: str) -> str:
    """Return the name of an operation's argument that stands at `args.1` or `kwargs.dim`; empty where it has none."""
    where, _, which = place.partition(".")
    which = which.partition(".")[0]
    if where != "args":
        return which
    found: Any = torch.ops
    for part in operation.split("."):
        found = getattr(found, part, None)
    arguments = getattr(getattr(found, "_schema", None), "arguments", ())
    return arguments[int(which)].name if which.isdigit() and int(which) < len(arguments) else ""


def _kind(found: Break) -> str:
    op = found.ops[0]
    if found.kind == "earlier":
        origin = found.values[0].origin if found.values[0] is not None else None
        return "unknown" if origin is None else _from_outside(origin.name)
    if found.kind != "op" or op is None:
        return found.kind
    kind = _named(op.name, base_of(op))
    if kind in ("made", "load") and _elsewhere(found.step, found.ops):
        return "order"
    return kind


def _from_outside(name: str) -> str:
    """Return the kind of an operation of which only the name was kept: what went into most may have differed."""
    base = name.split(".")[1]
    kind = "draw" if base in DRAWS else _named(name, base)
    return "unknown" if kind in ("operation", "compiled") else kind


def _named(name: str, base: str) -> str:
    """Return the kind of an operation whose inputs were equal and whose outputs were not."""
    if base in ("lift_fresh", "lift"):
        return "made"
    if name.startswith("aten.set_.source_Storage"):
        return "load"
    if base.startswith(("empty", "new_empty", "resize_")):
        return "uninitialised"
    if name.startswith(("c10d.", "_c10d_functional.")):
        return "arrival"
    if not name.startswith("aten.") and name.startswith(("inductor.", "prims.", "rngprims.", "higher_order.")):
        return "compiled"
    return "operation"


def _elsewhere(step: Step, ops: tuple[Op | None, Op | None]) -> bool:
    """Tell whether each run has what the other had there, at the same line."""
    for side, op in enumerate(ops):
        other = ops[1 - side]
        value = None if op is None else next((one.hash for one in op.outputs if one.hash is not None), None)
        if op is None or other is None or value is None:
            return False
        if not any(
            same.index != other.index and same.name == op.name and same.line == op.line
            for same in step.hashes[1 - side].get(value, ())
        ):
            return False
    return True
