"""Several arms: all against the first or all pairs, each pair with its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lastbit import stats
from lastbit.stats import Estimate
from lastbit.studies.compare.arms import ArmRuns
from lastbit.studies.compare.decided import Decided, Pair
from lastbit.studies.compare.fairness import better_of, fair, remarks_on
from lastbit.studies.compare.settings import CompareSettings

__all__ = ["decide_several"]

_BOTH = "a pair can be real while its interval holds 0: the intervals hold all together, which makes them longer"


def decide_several(found: Decided, arms: Sequence[ArmRuns], settings: CompareSettings) -> Decided:
    """Return what several arms say of each other, with one error rate over all pairs."""
    seeds: Any = [arm.seeds for arm in arms]
    letters = [row.letter for row in found.arms]
    compared = stats.compare_several(
        [arm.values for arm in arms],
        seeds=seeds,
        names=[f"arm {letter}" for letter in letters],
        against=settings.pairs,
        worth=settings.worth,
    )
    pairs = []
    for one in compared.pairs:
        a, b = letters[one.a], letters[one.b]
        rows = [found.arms[one.a], found.arms[one.b]]
        verdict, reason = fair(rows, found.higher_is_better, one.verdict, one.difference, "")
        if verdict == "real" and one.within_worth:
            reason = f"the difference of {a} and {b} is real, though too small to matter"
        chance = stats.probability_better(
            arms[one.a].values,
            arms[one.b].values,
            seeds_a=seeds[one.a],
            seeds_b=seeds[one.b],
            higher_is_better=found.higher_is_better,
        )
        pairs.append(
            Pair(
                a=a,
                b=b,
                verdict=verdict,
                better=better_of(verdict, one.difference, found.higher_is_better, a, b),
                difference=one.difference,
                probability_better=chance,
                p_value=one.p_value,
                reason=reason,
            )
        )
    told = tuple(replace(row, group=group) for row, group in zip(found.arms, compared.letters, strict=True))
    return replace(
        found,
        arms=told,
        pairs=tuple(pairs),
        difference=pairs[0].difference,
        probability_better=pairs[0].probability_better,
        procedure=compared.procedure,
        remarks=(
            *compared.remarks,
            *([_BOTH] if any(pair.verdict == "real" and _holds_none(pair.difference) for pair in pairs) else []),
            *remarks_on(found, arms),
        ),
    )


def _holds_none(difference: Estimate) -> bool:
    return difference.low is not None and difference.high is not None and difference.low <= 0 <= difference.high
