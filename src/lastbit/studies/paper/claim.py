"""What a claim says of itself: what is measured of it at each scale, the rules that judge it, its figure and tables.

A rule is a pure function beside its statement in words. It sees numbers alone, so a test can feed it a counter-example.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from lastbit.stats import Estimate

if TYPE_CHECKING:
    from lastbit.report.blocks import Table
    from lastbit.report.figures.printed import Drawing
    from lastbit.studies.paper.lab import Lab

__all__ = ["Claim", "Form", "Judged", "Number", "Piece", "Said", "computed", "held", "not_held", "undecided"]

M = TypeVar("M")

Said = Literal["held", "not_held", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number that a rule looked at.

    Attributes:
        name: in JSON.
        says: what it is, in words.
        value: the estimate with its interval and n; of what is computed rather than sampled, see `computed`.
        unit: of it, "" for none.
        reference: the published value, or one computed independently; None where none is known.
        source: where the reference comes from.
    """

    name: str
    says: str
    value: Estimate
    unit: str = ""
    reference: float | None = None
    source: str = ""


def computed(value: float | None, n: int = 1, note: str = "computed, not sampled") -> Estimate:
    """Return an estimate of a number that has no sampling error: the same on every run."""
    return Estimate(value, None, None, n, note)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a rule found.

    Attributes:
        kind: whether the claim held.
        why: the reason, a sentence with the numbers that decide.
        numbers: that the rule looked at, the deciding one first.
    """

    kind: Said
    why: str
    numbers: tuple[Number, ...] = ()


def held(why: str, *numbers: Number) -> Judged:
    """Return the judgement that a claim held."""
    return Judged(kind="held", why=why, numbers=numbers)


def not_held(why: str, *numbers: Number) -> Judged:
    """Return the judgement that a claim did not hold."""
    return Judged(kind="not_held", why=why, numbers=numbers)


def undecided(why: str, *numbers: Number) -> Judged:
    """Return the judgement that the numbers are too few, or too uncertain, to tell."""
    return Judged(kind="undecided", why=why, numbers=numbers)


@dataclass(frozen=True, kw_only=True)
class Form(Generic[M]):
    """A form of a claim: as it was published, or narrower, as it was found here.

    Attributes:
        says: the claim, a sentence.
        rule: in words, when it is held, when not held, and when undecided.
        judge: the rule itself, a pure function of what was measured.
    """

    says: str
    rule: str
    judge: Callable[[M], Judged]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of what a claim measures, done in one go and kept as a file of its own.

    Attributes:
        name: usable as a file name, unique in its claim.
        says: what is done, for the progress.
        measure: does it, and returns what JSON can hold (`lastbit.core.plain`): the same on every run of one machine.
        steps: how many of which measured steps it takes (names of `expected.STEPS`), from which its time is foretold.
    """

    name: str
    says: str
    measure: Callable[[Lab], Mapping[str, Any]]
    steps: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Claim(Generic[M]):
    """One published claim.

    Attributes:
        id: "C1" to "C12".
        title: the claim in one line.
        printed: the figure or table of the publication that it is drawn as.
        published: the claim as it was published.
        found: the narrower form that was found here, where there is one.
        scales: what each scale measures, in a sentence, by the scale's name.
        pieces: returns what is measured at a scale.
        gather: returns the numbers of all pieces, given what each measured by its name.
        drawings: returns its figures.
        tables: returns its tables.
        remarks: returns what a reader should know: the best explanation of what was found, the scale at which it holds.
    """

    id: str
    title: str
    printed: str
    published: Form[M]
    scales: Mapping[str, str]
    pieces: Callable[[str], Sequence[Piece]]
    gather: Callable[[Mapping[str, Mapping[str, Any]]], M]
    drawings: Callable[[M], Sequence[Drawing]]
    tables: Callable[[M], Sequence[Table]]
    remarks: Callable[[M], Sequence[str]] = field(default=lambda measured: ())
    found: Form[M] | None = None

    @property
    def forms(self) -> Mapping[str, Form[M]]:
        """Its forms by name: `published`, and `found` where there is one."""
        return {"published": self.published, **({"found": self.found} if self.found is not None else {})}
