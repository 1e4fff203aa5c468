"""One step in both runs: its two tapes, aligned, and what wrote which memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from lastbit.launch.pair.tapes import Op, Tape, Value
from lastbit.studies.doctor.align import Alignment, align

__all__ = ["Ops", "Step", "base_of", "comes_in", "fills", "is_view", "output_on"]

Ops = tuple[Op, Op]
"""An operation, as it ran in each run."""

_FILLS = frozenset(
    [
        "bernoulli_",
        "cauchy_",
        "copy_",
        "exponential_",
        "fill_",
        "geometric_",
        "log_normal_",
        "normal_",
        "random_",
        "uniform_",
        "zero_",
    ]
)


@dataclass(frozen=True)
class Step:
    """What both runs did in a step."""

    tapes: tuple[Tape, Tape]

    @property
    def count(self) -> int:
        """Exchanges of the process before it."""
        return self.tapes[0].count

    @cached_property
    def alignment(self) -> Alignment:
        """Which operation is which."""
        return align(*self.tapes)

    @cached_property
    def ops(self) -> tuple[dict[int, Op], dict[int, Op]]:
        """The operations of each run, by their indices."""
        first, second = ({op.index: op for op in tape.ops} for tape in self.tapes)
        return first, second

    @cached_property
    def writers(self) -> tuple[dict[int, list[Op]], dict[int, list[Op]]]:
        """Of each run, the operations that wrote a memory, in turn, by its number."""
        found: tuple[dict[int, list[Op]], dict[int, list[Op]]] = ({}, {})
        for side, tape in enumerate(self.tapes):
            for op in tape.ops:
                if not is_view(op):
                    for number in {value.storage for value in op.outputs if value.storage >= 0}:
                        found[side].setdefault(number, []).append(op)
        return found

    @cached_property
    def hashes(self) -> tuple[dict[str, list[Op]], dict[str, list[Op]]]:
        """Of each run, the operations that gave a value, by its hash."""
        found: tuple[dict[str, list[Op]], dict[str, list[Op]]] = ({}, {})
        for side, tape in enumerate(self.tapes):
            for op in tape.ops:
                for value in op.outputs:
                    if value.hash is not None:
                        found[side].setdefault(value.hash, []).append(op)
        return found

    def partner(self, op: Op, side: int) -> Op | None:
        """Return what an operation of one run is in the other."""
        other = (self.alignment.forth, self.alignment.back)[side].get(op.index)
        return None if other is None else self.ops[1 - side].get(other)

    def coupled(self, first: Op, second: Op) -> bool:
        """Tell whether two operations are the same."""
        return self.alignment.forth.get(first.index) == second.index

    def pairs(self) -> list[Ops]:
        """Return all operations that both runs have, as the first had them in turn."""
        found = []
        for op in self.tapes[0].ops:
            other = self.partner(op, 0)
            if other is not None:
                found.append((op, other))
        return found


def base_of(op: Op) -> str:
    """Return the name of an operation without its space and overload, as `mm`."""
    parts = op.name.split(".")
    return parts[1] if len(parts) > 1 else op.name


def comes_in(op: Op) -> bool:
    """Tell whether values from outside PyTorch come in by an operation: Python's, NumPy's, a file's, a worker's."""
    return base_of(op) in ("lift_fresh", "lift") or op.name.startswith("aten.set_.source_Storage")


def is_view(op: Op) -> bool:
    """Tell whether an operation only shows memory that there was, as `view` and `select`."""
    shown = {value.storage for value in op.inputs if value.hash is None}
    return bool(op.outputs) and all(value.hash is None and value.storage in shown for value in op.outputs)


def fills(op: Op, value: Value) -> bool:
    """Tell whether an operation writes over an argument without reading it."""
    return value.place.startswith("kwargs.out") or (value.place == "args.0" and base_of(op) in _FILLS)


def output_on(op: Op, storage: int) -> Value | None:
    """Return what an operation left in a memory."""
    return next((value for value in reversed(op.outputs) if value.storage == storage), None)
