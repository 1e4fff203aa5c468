"""What one forced run differed by from the run it was forced onto: one number for each step and tensor.

A table is the only thing that a judgement reads. It is written row by row (`lastbit.launch.forced.rows`), so that a run
that is killed leaves what it had, and kept as one `.npz` that holds no pickled object.

| array | axes | content |
| --- | --- | --- |
| `steps` | (S,) | steps of all optimizers of a process, counted from 1, increasing |
| `difference` | (S, T) | Euclidean norm of d, what the forced run had minus what the reference had |
| `projection` | (S, T) | inner product of d and r, what the reference had |
| `size` | (S, T) | Euclidean norm of r |
| `change` | (S, T) | Euclidean norm of D, what the step changed in the reference: weights, states, copies |
| `worst` | (S, T) | largest abs(d) / (ulp(r) + eps abs(D)) of the elements, eps 2^-23 for float32: likewise |
| `bias` | (S, T) | inner product of d and D over that of D and D: likewise |
| `unequal` | (S, T) | elements of which some bit differs; -1 where nothing was compared |

Where nothing was compared, or a number does not exist, there is NaN. A loss counts as a tensor of one element.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lastbit.core.errors import LastbitError

__all__ = ["COLUMNS", "ForcedTable", "ForcedTensor", "Mismatch", "Role", "merged"]

COLUMNS = ("difference", "projection", "size", "change", "worst", "bias")
"""Those that are float64."""


class Role(StrEnum):
    """What a tensor is in a training."""

    GRADIENT = "gradient"
    WEIGHT = "weight"
    STATE = "state"
    BUFFER = "buffer"
    COPY = "copy"
    LOSS = "loss"


@dataclass(frozen=True)
class ForcedTensor:
    """A column of the table."""

    name: str
    """The module's name of the parameter, `group 0, parameter 3` without one; a state is `PARAM.exp_avg`."""
    role: Role
    elements: int
    dtype: str
    """Of the reference, as `float32`."""


@dataclass(frozen=True)
class Mismatch:
    """Something that is no floating-point tensor and differs."""

    step: int
    """0: before the first."""
    what: str
    """`hyper-parameter`, `counter`, `batch`, `length`, `initial weights`, `generator` or `state`."""
    name: str
    reference: str
    candidate: str


@dataclass(frozen=True, eq=False)
class ForcedTable:
    """A forced run against its reference; the arrays are described above.

    Example:
        >>> table = ForcedTable.empty()
        >>> table.of(Role.GRADIENT), table.equal
        ((), False)
    """

    tensors: tuple[ForcedTensor, ...]
    steps: NDArray[np.int64]
    difference: NDArray[np.float64]
    projection: NDArray[np.float64]
    size: NDArray[np.float64]
    change: NDArray[np.float64]
    worst: NDArray[np.float64]
    bias: NDArray[np.float64]
    unequal: NDArray[np.int64]
    mismatches: tuple[Mismatch, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What was compared and what was not, as JSON holds it."""

    @classmethod
    def empty(cls) -> ForcedTable:
        """Return the table of a run that was never compared."""
        nothing = np.empty((0, 0))
        arrays: dict[str, Any] = dict.fromkeys(COLUMNS, nothing)
        return cls((), np.empty(0, np.int64), **arrays, unequal=nothing.astype(np.int64))

    def of(self, role: Role) -> tuple[int, ...]:
        """Return the columns of the tensors of one role."""
        return tuple(place for place, tensor in enumerate(self.tensors) if tensor.role == role)

    @property
    def equal(self) -> bool:
        """Whether something was compared, and all of it agreed in every bit."""
        return bool(self.steps.size) and not self.mismatches and not (self.unequal > 0).any()

    def save(self, path: Path) -> None:
        """Write it as an `.npz`."""
        with path.open("wb") as file:
            self.write(file)

    def write(self, file: IO[bytes]) -> None:
        """Write it as an `.npz` into a file that is open."""
        about = {
            "tensors": [asdict(one) for one in self.tensors],
            "mismatches": [asdict(one) for one in self.mismatches],
            "facts": dict(self.facts),
        }
        arrays = {name: getattr(self, name) for name in ("steps", *COLUMNS, "unequal")}
        np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)

    @classmethod
    def read(cls, path: Path) -> ForcedTable:
        """Read what `save` wrote.

        Raises:
            LastbitError: it is no such file.
        """
        try:
            with np.load(path, allow_pickle=False) as held:
                about = json.loads(str(held["about"]))
                arrays = {name: held[name] for name in ("steps", *COLUMNS, "unequal")}
        except (OSError, ValueError, KeyError) as error:
            raise LastbitError(f"{path} is no table of a forced run: {error}") from None
        return cls(
            tensors=tuple(ForcedTensor(**one | {"role": Role(one["role"])}) for one in about["tensors"]),
            mismatches=tuple(Mismatch(**one) for one in about["mismatches"]),
            facts=about["facts"],
            **arrays,
        )


def merged(tables: Sequence[tuple[str, ForcedTable]]) -> ForcedTable:
    """Return the tables of a run's processes as one.

    Args:
        tables: with the name of each process; the first one's tensors keep their names, those of the others begin with
            the name of their process, as in `rank 1: weight`.
    """
    if not tables:
        return ForcedTable.empty()
    if len(tables) == 1:
        return tables[0][1]
    steps = np.unique(np.concatenate([table.steps for _, table in tables]))
    wide = [_at(table, steps) for _, table in tables]
    prefixes = ["", *(f"{name}: " for name, _ in tables[1:])]
    named = list(zip(prefixes, (table for _, table in tables), strict=True))
    return ForcedTable(
        tensors=tuple(
            ForcedTensor(prefix + one.name, one.role, one.elements, one.dtype)
            for prefix, table in named
            for one in table.tensors
        ),
        steps=steps,
        **{name: np.concatenate([one[name] for one in wide], axis=1) for name in (*COLUMNS, "unequal")},
        mismatches=tuple(
            sorted(
                (
                    Mismatch(one.step, one.what, prefix + one.name, one.reference, one.candidate)
                    for prefix, table in named
                    for one in table.mismatches
                ),
                key=lambda one: one.step,
            )
        ),
        facts={**tables[0][1].facts, "processes": [name for name, _ in tables]},
    )


def _at(table: ForcedTable, steps: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a table with a row for each of `steps`."""
    rows, width = np.searchsorted(steps, table.steps), len(table.tensors)
    wide: dict[str, NDArray[Any]] = {name: np.full((len(steps), width), np.nan) for name in COLUMNS}
    wide["unequal"] = np.full((len(steps), width), -1, dtype=np.int64)
    for name, array in wide.items():
        array[rows] = getattr(table, name)
    return wide
