"""What the forced runs of a study left, side by side: what a judgement reads, and all that the study keeps of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lastbit.launch.forced.table import ForcedTable, ForcedTensor, Mismatch, Role
from lastbit.stats.rounding_unit import RoundingUnit, rounding_unit

__all__ = ["Evidence", "Floats"]

Floats = NDArray[np.float64]

_CANDIDATE = ("difference", "projection", "size", "change", "worst", "bias", "unequal")

_BITS = {"float64": 52, "float32": 23, "bfloat16": 7, "float16": 10}
"""Of the fraction of a format."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """The candidate's table, and beside it how far rounding moves each of its tensors.

    Attributes:
        tensors: the columns.
        steps: (S,) those that were compared.
        difference: (S, T) and the arrays that follow: as in `ForcedTable`, of the candidate.
        jitter: (S, T) root mean square of how far the reference moves when its weights are moved by half an ulp.
        double: (S, T) how far it lies from itself computed in double precision; NaN where that could not be had.
        moved: (2, S, T) how far the gradients of reference and candidate move when the weights move by 2^-18.
        missing: gradients that the reference has and the candidate has not.
        control: step and tensor in which the reference, run again, first differs from itself; None where it does not.
    """

    tensors: tuple[ForcedTensor, ...]
    steps: NDArray[np.int64]
    difference: Floats
    projection: Floats
    size: Floats
    change: Floats
    worst: Floats
    bias: Floats
    unequal: NDArray[np.int64]
    jitter: Floats
    double: Floats
    moved: Floats | None = None
    mismatches: tuple[Mismatch, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    control: tuple[int, str] | None = None

    @classmethod
    def of(
        cls,
        candidate: ForcedTable,
        *,
        control: ForcedTable | None = None,
        jitters: Sequence[ForcedTable] = (),
        double: ForcedTable | None = None,
        staircase: tuple[ForcedTable, ForcedTable] | None = None,
    ) -> Evidence:
        """Return the tables of one study side by side, in the rows and columns of the candidate's."""
        moved = [_aligned(one, candidate, "difference") for one in jitters]
        shape = candidate.difference.shape
        squares = np.stack(moved) ** 2 if moved else np.full((1, *shape), np.nan)
        known = np.isfinite(squares)
        count = known.sum(axis=0)
        jitter = np.sqrt(np.where(known, squares, 0.0).sum(axis=0) / np.where(count, count, 1))
        others = [one for one in (control, *jitters) if one is not None]
        own = {(one.role, one.name) for one in candidate.tensors}
        gradients = [one.name for other in others[:1] for one in other.tensors if one.role == Role.GRADIENT]
        return cls(
            tensors=candidate.tensors,
            steps=candidate.steps,
            **{name: getattr(candidate, name) for name in _CANDIDATE},
            jitter=np.where(count, jitter, np.nan),
            double=np.full(shape, np.nan) if double is None else _aligned(double, candidate, "difference"),
            moved=None
            if staircase is None
            else np.stack([_aligned(one, candidate, "difference") for one in staircase]),
            mismatches=candidate.mismatches,
            facts=candidate.facts,
            missing=tuple(name for name in gradients if (Role.GRADIENT, name) not in own),
            control=None if control is None or control.equal else _first_difference(control),
        )

    def columns(self, *roles: Role) -> list[int]:
        """Return the columns of the tensors of some roles."""
        return [place for place, one in enumerate(self.tensors) if one.role in roles]

    @property
    def bit_for_bit(self) -> bool:
        """Whether something was compared, and all of it agrees in every bit."""
        return bool((self.unequal >= 0).any()) and not (self.unequal > 0).any()

    @cached_property
    def unit(self) -> RoundingUnit:
        """The unit of rounding of each tensor at each step."""
        epsilon = np.array([math.ldexp(1.0, -_BITS.get(one.dtype, 23)) for one in self.tensors])
        return rounding_unit(self.jitter[None], self.size, self.double, epsilon=epsilon)

    @cached_property
    def units(self) -> Floats:
        """(S, T) each difference in units of rounding: of weights, states and copies that of the worst element.

        Infinite where the candidate has no finite number and the reference has.
        """
        units = self.unit.units(self.difference)
        by_element = self.columns(Role.WEIGHT, Role.STATE, Role.COPY)
        units[:, by_element] = self.worst[:, by_element]
        units[self.unequal == 0] = 0.0
        lost = (self.unequal > 0) & ~np.isfinite(self.difference)
        units[lost] = np.inf
        return units

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is kept as arrays."""
        found = {name: getattr(self, name) for name in ("steps", *_CANDIDATE, "jitter", "double")}
        return found | ({} if self.moved is None else {"moved": self.moved})

    def told(self) -> dict[str, Any]:
        """Return what is kept beside the arrays, as JSON holds it."""
        return {
            "tensors": [asdict(one) for one in self.tensors],
            "mismatches": [asdict(one) for one in self.mismatches],
            "facts": dict(self.facts),
            "missing": list(self.missing),
            "control": None if self.control is None else list(self.control),
        }

    @classmethod
    def from_kept(cls, arrays: Mapping[str, NDArray[Any]], told: Mapping[str, Any]) -> Evidence:
        """Return what `arrays` and `told` kept."""
        return cls(
            **arrays,
            tensors=tuple(ForcedTensor(**one | {"role": Role(one["role"])}) for one in told["tensors"]),
            mismatches=tuple(Mismatch(**one) for one in told["mismatches"]),
            facts=told["facts"],
            missing=tuple(told["missing"]),
            control=None if told["control"] is None else (told["control"][0], told["control"][1]),
        )


def _aligned(table: ForcedTable, onto: ForcedTable, name: str) -> Floats:
    """Return an array of one table in the rows and columns of another."""
    own = {(one.role, one.name): place for place, one in enumerate(table.tensors)}
    places = [own.get((one.role, one.name)) for one in onto.tensors]
    there = [(to, of) for to, of in enumerate(places) if of is not None]
    found = np.full((len(onto.steps), len(onto.tensors)), np.nan)
    _, rows, of_rows = np.intersect1d(onto.steps, table.steps, return_indices=True)
    if there and len(rows):
        to, of = zip(*there, strict=True)
        found[np.ix_(rows, to)] = getattr(table, name)[np.ix_(of_rows, of)]
    return found


def _first_difference(control: ForcedTable) -> tuple[int, str]:
    """Return where a run that ought to be equal is not: nothing at all where it was never compared."""
    unequal = np.argwhere(control.unequal > 0)
    found = [(one.step, f"{one.what} {one.name}".strip()) for one in control.mismatches]
    if len(unequal):
        row, column = unequal[0]
        found.append((int(control.steps[row]), control.tensors[column].name))
    return min(found, default=(0, ""))
