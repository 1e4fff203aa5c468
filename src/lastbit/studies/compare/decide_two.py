"""Two arms: Welch's t, the seeds that both have, or a look while runs are added; and what the last bit did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lastbit import stats
from lastbit.report.formatting import plural
from lastbit.stats import LastBitOfDifference, SequentialDecision, not_measured
from lastbit.studies.compare.arms import ArmRuns
from lastbit.studies.compare.decided import Decided, Pair
from lastbit.studies.compare.fairness import better_of, fair, remarks_on
from lastbit.studies.compare.settings import CompareSettings

__all__ = ["decide_two", "is_settled"]


def decide_two(found: Decided, arms: Sequence[ArmRuns], settings: CompareSettings, silent: str) -> Decided:
    """Return what two arms say; `silent` says why the last bit is not measurable, "" where it is."""
    first, second = arms
    values: Any = (first.values, second.values)
    seeds: Any = {"seeds_a": first.seeds, "seeds_b": second.seeds}
    paired, worth = settings.paired, settings.worth
    compared = stats.compare_arms(*values, **seeds, paired=paired, worth=worth)
    chance = stats.probability_better(*values, **seeds, higher_is_better=found.higher_is_better)
    verdict, difference, reason, procedure = compared.verdict, compared.difference, compared.reason, compared.procedure
    looked = _look(arms, settings)
    if looked is not None and looked.difference.estimate is not None:
        verdict = "undecided" if looked.decision == "go_on" else looked.decision
        difference, procedure = looked.difference, looked.procedure
        left = "" if verdict != "undecided" else f"no decision after {plural(looked.n_a, 'seed')} of each arm"
        reason = looked.remark or left
    verdict, reason = fair(found.arms, found.higher_is_better, verdict, difference, reason)
    if silent:
        nothing = not_measured(silent, 0)
        bit = LastBitOfDifference(nothing, nothing, None, nothing)
    else:
        bit = stats.last_bit_in_difference(*values, **seeds, paired=paired)
    pair = Pair(
        a="A",
        b="B",
        verdict=verdict,
        better=better_of(verdict, difference, found.higher_is_better, "A", "B"),
        difference=difference,
        probability_better=chance,
        p_value=compared.p_value if looked is None else looked.p_value,
        reason=reason,
    )
    return replace(
        found,
        pairs=(pair,),
        difference=difference,
        probability_better=chance,
        procedure=procedure,
        settled=looked is not None and looked.decision != "go_on",
        comparison=compared,
        last_bit=bit,
        sequential=looked,
        remarks=(*compared.remarks, *remarks_on(found, arms)),
    )


def is_settled(arms: Sequence[ArmRuns], settings: CompareSettings) -> bool:
    """Tell whether the look at the runs so far ends the adding of runs."""
    looked = _look(arms, settings)
    return looked is not None and looked.decision != "go_on"


def _look(arms: Sequence[ArmRuns], settings: CompareSettings) -> SequentialDecision | None:
    """Return what the look after the last whole pair of seeds says; None where the number of runs is fixed."""
    if not settings.sequential:
        return None
    means = [arm.means for arm in arms]
    n = min(map(len, means))
    if not n:
        return None
    a, b = (values[:n] for values in means)
    if settings.open:
        return stats.anytime_t_test(a, b, worth=settings.worth)
    return stats.sequential_boundary(a, b, most=settings.so_many, worth=settings.worth)
