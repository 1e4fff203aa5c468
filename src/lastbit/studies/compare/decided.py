"""What a comparison says in numbers: its arms, each pair of them, and what decided."""

from __future__ import annotations

from dataclasses import dataclass

from lastbit.stats import ArmComparison, BestOf, Estimate, LastBitOfDifference, PairedExamples, SequentialDecision

__all__ = ["UNNAMED", "ArmRow", "Decided", "Pair"]

UNNAMED = "value"
"""What is compared where nobody named it."""


@dataclass(frozen=True, kw_only=True)
class ArmRow:
    """One arm in numbers, in the metric's unit.

    Attributes:
        letter: what it is called here.
        name: what it is.
        seeds: how many there are.
        runs: how many count.
        mean: over seeds.
        sigma: SD of a fresh run with a fresh seed.
        best: the best of its runs.
        values: final value of each run that counts.
        seed_of: its seed, as text; the number of the run where nobody named one.
        left_out: which runs do not count, and why.
        lost: how many those are.
        group: of several arms; two that share a letter here cannot be told apart.
    """

    letter: str
    name: str
    seeds: int
    runs: int
    mean: Estimate
    sigma: Estimate
    best: float | None
    values: tuple[float, ...]
    seed_of: tuple[str, ...]
    left_out: str
    lost: int
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two arms against each other.

    Attributes:
        a: letter of the one.
        b: letter of the other.
        verdict: `real`, `no_difference` or `undecided`.
        better: letter of the better one where the difference is real; empty otherwise.
        difference: of the means, B minus A, in the metric's unit.
        probability_better: that a fresh run of B beats a fresh run of A.
        p_value: two-sided, before any correction; None where no spread was seen.
        reason: of the verdict, in words.
    """

    a: str
    b: str
    verdict: str
    better: str
    difference: Estimate
    probability_better: Estimate
    p_value: float | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What the arms say.

    Attributes:
        metric: what is compared.
        unit: of it.
        higher_is_better: whether a larger value is the better one.
        arms: in their order; the first is what the others are compared with.
        pairs: those that were compared.
        difference: of the first pair.
        probability_better: of the first pair.
        procedure: name of what decided.
        worth: the smallest difference that matters, where one was named.
        settled: whether no further run that was asked for is needed.
        comparison: everything of two arms; None of several, or where runs are missing.
        last_bit: what the last bit alone could have done to the difference of two arms; None likewise.
        sequential: where runs are added until it is settled.
        remarks: what else must be known.
        examples: what two networks, one of each arm and of one seed, say on the same test set; None where no scores are
            kept.
        chosen: the best run of each arm beside what choosing it does.
    """

    metric: str
    unit: str
    higher_is_better: bool
    arms: tuple[ArmRow, ...]
    pairs: tuple[Pair, ...]
    difference: Estimate
    probability_better: Estimate
    procedure: str
    worth: float | None
    settled: bool
    comparison: ArmComparison | None
    last_bit: LastBitOfDifference | None
    sequential: SequentialDecision | None
    remarks: tuple[str, ...] = ()
    examples: PairedExamples | None = None
    chosen: tuple[BestOf, ...] = ()

    @property
    def points(self) -> str:
        """The unit of a difference: points for a percentage."""
        return "points" if self.unit == "%" else self.unit
