"""From the arms' runs to a decision: which procedure decides, and what it says in numbers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from lastbit import stats
from lastbit.core.errors import LastbitError
from lastbit.report.formatting import count, plural, show
from lastbit.stats import (
    ArmComparison,
    BestOf,
    Estimate,
    LastBitOfDifference,
    PairedExamples,
    SequentialDecision,
    not_measured,
)
from lastbit.stats.settling import FOR_A_VERDICT
from lastbit.studies.compare.arms import ArmRuns
from lastbit.studies.compare.settings import CompareSettings
from lastbit.studies.frame.arms import LETTERS

UNNAMED = "value"
"""What is compared where nobody named it."""

ArmVerdict: TypeAlias = Literal["real", "no_difference", "undecided"]
Right: TypeAlias = Sequence[ArrayLike]

__all__ = ["UNNAMED", "ArmRow", "Decided", "Pair", "check_alike", "check_comparable", "decide", "is_settled"]


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


def check_alike(arms: Sequence[ArmRuns]) -> None:
    """Refuse arms that are not measured alike.

    Raises:
        LastbitError: they differ in metric, unit, direction or test set.
    """
    # Of a function nothing is known before a run of it is in.
    known = [(letter, arm) for letter, arm in zip(LETTERS, arms, strict=False) if arm.values]
    named = {(arm.metric, arm.unit): letter for letter, arm in known if arm.metric}
    if len(named) > 1:
        ((first, unit), a), ((second, other), b) = list(named.items())[:2]
        said = f"{first} in {unit or 'no unit'} and {b.upper()} {second} in {other or 'no unit'}"
        raise LastbitError(f"arm {a.upper()} is measured by {said}: name a metric that both have by --metric")
    if len({arm.higher_is_better for _, arm in known if arm.higher_is_better is not None}) > 1:
        raise LastbitError("one arm says that higher is better and another that lower is: say which by --better")
    sizes = {arm.test_size: letter for letter, arm in known if arm.test_size is not None}
    if len(sizes) > 1:
        (one, a), (two, b) = list(sizes.items())[:2]
        raise LastbitError(
            f"arm {a.upper()} has a test set of {plural(one, 'example')} and {b.upper()} one of {count(two)}: measure "
            "both on one"
        )


def check_comparable(arms: Sequence[ArmRuns], *, paired: bool = False) -> None:
    """Refuse arms that say nothing of each other.

    Args:
        arms: two or more.
        paired: whether their runs are compared seed by seed.

    Raises:
        LastbitError: they differ in metric, unit, direction or test set, nobody said which way is better, every arm
            has one run, or they cannot be paired.
    """
    check_alike(arms)
    if all(arm.higher_is_better is None for arm in arms):
        raise LastbitError("which is better is not known: give --better higher or --better lower")
    seeds = [len(set(_seeds(arm))) for arm in arms]
    if max(seeds) < 2 or (len(arms) > 2 and min(seeds) < 2):
        raise LastbitError("one run an arm says nothing of the next one: train each arm with 3 seeds or more")
    if paired:
        unnamed = [arm.name for arm in arms if arm.seeds is None]
        if unnamed:
            raise LastbitError(f"--paired matches runs by their seed, and {unnamed[0]} names none: write seed,value")
        if len(set(_seeds(arms[0])) & set(_seeds(arms[1]))) < 2:
            raise LastbitError("--paired needs two seeds or more that both arms have: compare them unpaired")


def decide(
    arms: Sequence[ArmRuns], settings: CompareSettings, *, silent: str = "", right: Right | None = None
) -> Decided:
    """Return what the arms say.

    Args:
        arms: two or more.
        settings: of the comparison.
        right: of one network of each of two arms, whether it is right on each example of the test set.
        silent: why runs of one seed do not differ in the last bit alone; "" where they do, or there are none.
    """
    higher = next((arm.higher_is_better for arm in arms if arm.higher_is_better is not None), True)
    told = next((arm for arm in arms if arm.metric), arms[0])
    rows = tuple(_row(letter.upper(), arm, higher) for letter, arm in zip(LETTERS, arms, strict=False))
    found = Decided(
        metric=told.metric or UNNAMED,
        unit=told.unit,
        higher_is_better=higher,
        arms=rows,
        pairs=(),
        difference=not_measured("too few runs", 0),
        probability_better=not_measured("too few runs", 0),
        procedure="",
        worth=settings.worth,
        settled=False,
        comparison=None,
        last_bit=None,
        sequential=None,
        examples=None if right is None else stats.compare_paired_examples(right[0], right[1]),
        chosen=tuple(stats.best_of_runs(_means(arm), higher_is_better=higher) for arm in arms if arm.values),
    )
    seeds = [row.seeds for row in rows]
    if max(seeds) < 2 or min(seeds) < (1 if len(arms) == 2 else 2):
        return found
    if not any(np.ptp(_means(arm)) for arm in arms):
        return _without_spread(found)
    if settings.paired and len(set(rows[0].seed_of) & set(rows[1].seed_of)) < 2:
        return found
    silent = silent or next((arm.silent for arm in arms if arm.silent), "")
    return _of_two(found, arms, settings, silent) if len(arms) == 2 else _of_several(found, arms, settings)


def _row(letter: str, arm: ArmRuns, higher: bool) -> ArmRow:
    seeds = _seeds(arm)
    by_seed: dict[str, list[float]] = defaultdict(list)
    for seed, value in zip(seeds, arm.values, strict=True):
        by_seed[seed].append(value)
    width = max(map(len, by_seed.values()), default=0)
    table = [values + [np.nan] * (width - len(values)) for values in by_seed.values()]
    means = [float(np.mean(values)) for values in by_seed.values()]
    few = not_measured("no run counts", 0)
    return ArmRow(
        letter=letter,
        name=arm.name,
        seeds=len(by_seed),
        runs=len(arm.values),
        mean=stats.mean_estimate(means) if means else few,
        sigma=stats.variance_components(table).sigma_total if table else few,
        best=(max if higher else min)(arm.values, default=None),
        values=arm.values,
        seed_of=seeds,
        left_out=arm.left_out,
        lost=arm.lost,
    )


def _seeds(arm: ArmRuns) -> tuple[str, ...]:
    return arm.seeds if arm.seeds is not None else tuple(str(number) for number in range(len(arm.values)))


def _without_spread(found: Decided) -> Decided:
    """Return what arms say of which each gave one value in all of its runs: how far they are apart, and no chance."""
    first = found.arms[0].values[0]
    why = "no arm shows any spread over its seeds, so that no chance can be given: compare a metric that varies"
    pairs = tuple(
        Pair(
            a="A",
            b=row.letter,
            verdict="undecided",
            better="",
            difference=Estimate(row.values[0] - first, None, None, min(row.seeds, found.arms[0].seeds), why),
            probability_better=not_measured(why, row.seeds),
            p_value=None,
            reason=why,
        )
        for row in found.arms[1:]
    )
    return replace(found, pairs=pairs, difference=pairs[0].difference, procedure="none: nothing varies")


def _of_two(found: Decided, arms: Sequence[ArmRuns], settings: CompareSettings, silent: str) -> Decided:
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
    verdict, reason = _fair(found, verdict, difference, reason)
    if silent:
        nothing = not_measured(silent, 0)
        bit = LastBitOfDifference(nothing, nothing, None, nothing)
    else:
        bit = stats.last_bit_in_difference(*values, **seeds, paired=paired)
    pair = Pair(
        a="A",
        b="B",
        verdict=verdict,
        better=_better(verdict, difference, found.higher_is_better, "A", "B"),
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
        remarks=(*compared.remarks, *_remarks(found, arms)),
    )


def is_settled(arms: Sequence[ArmRuns], settings: CompareSettings) -> bool:
    """Tell whether the look at the runs so far ends the adding of runs."""
    looked = _look(arms, settings)
    return looked is not None and looked.decision != "go_on"


def _fair(found: Decided, verdict: ArmVerdict, difference: Estimate, reason: str) -> tuple[ArmVerdict, str]:
    """Return the verdict, undecided where the better arm is better among the runs alone that it did not lose."""
    better = _better(verdict, difference, found.higher_is_better, found.arms[0].letter, found.arms[1].letter)
    lost = {row.letter: row.lost / (row.lost + row.runs) for row in found.arms}
    if better and lost[better] > max(share for letter, share in lost.items() if letter != better):
        row = next(row for row in found.arms if row.letter == better)
        return "undecided", (
            f"{better} is ahead in the runs that ended alone, and lost {count(row.lost)} of "
            f"{plural(row.lost + row.runs, 'run')}, which no result stands for"
        )
    return verdict, reason


def _remarks(found: Decided, arms: Sequence[ArmRuns]) -> tuple[str, ...]:
    """Return what is said of how the arms came about: unfinished ones, single runs, the best of several."""
    said = [f"{row.letter}: {arm.remark}" for row, arm in zip(found.arms, arms, strict=True) if arm.remark]
    counts = {row.letter: row.seeds for row in found.arms}
    most = max(counts.values())
    adds = next((one.by_selection for one in found.chosen if one.n == most), not_measured("", 0))
    for letter, seeds in counts.items():
        if seeds == 1 < most and adds.estimate:
            said.append(
                f"{letter} is one run: were it the best of {count(most)}, choosing it alone would add "
                f"{show(adds, found.points).value}"
            )
    name = found.metric.lower()
    if "best" in name.replace("-", "_").split("_"):
        said.append(
            f"by its name {found.metric} is the best of several checkpoints, to which choosing adds: compare the last"
        )
    return tuple(said)


def _better(verdict: str, difference: Estimate, higher: bool, a: str, b: str) -> str:
    if verdict != "real" or difference.estimate is None:
        return ""
    return b if (difference.estimate > 0) == higher else a


def _look(arms: Sequence[ArmRuns], settings: CompareSettings) -> SequentialDecision | None:
    """Return what the look after the last whole pair of seeds says; None where the number of runs is fixed."""
    if not settings.sequential:
        return None
    means = [_means(arm) for arm in arms]
    n = min(map(len, means))
    if not n:
        return None
    a, b = (values[:n] for values in means)
    if settings.open:
        return stats.anytime_t_test(a, b, worth=settings.worth)
    return stats.sequential_boundary(a, b, most=settings.so_many, worth=settings.worth)


def _means(arm: ArmRuns) -> list[float]:
    by_seed: dict[str, list[float]] = defaultdict(list)
    for seed, value in zip(_seeds(arm), arm.values, strict=True):
        by_seed[seed].append(value)
    return [float(np.mean(values)) for values in by_seed.values()]


def _of_several(found: Decided, arms: Sequence[ArmRuns], settings: CompareSettings) -> Decided:
    seeds: Any = [arm.seeds for arm in arms]
    compared = stats.compare_several([arm.values for arm in arms], seeds=seeds, against=settings.pairs)
    letters = [row.letter for row in found.arms]
    pairs = []
    for one in compared.pairs:
        a, b = letters[one.a], letters[one.b]
        within = settings.worth is not None and _lies_within(one.difference, settings.worth)
        verdict: ArmVerdict = one.verdict
        if verdict == "undecided" and within and _enough(found):
            verdict = "no_difference"
        verdict, reason = _fair(_only(found, a, b), verdict, one.difference, "")
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
                better=_better(verdict, one.difference, found.higher_is_better, a, b),
                difference=one.difference,
                probability_better=chance,
                p_value=one.p_value,
                reason=reason,
            )
        )
    rows = tuple(replace(row, group=group) for row, group in zip(found.arms, compared.letters, strict=True))
    return replace(
        found,
        arms=rows,
        pairs=tuple(pairs),
        difference=pairs[0].difference,
        probability_better=pairs[0].probability_better,
        procedure=compared.procedure + _WITHIN * (settings.worth is not None),
        remarks=(
            *(_lettered(text, letters) for text in compared.remarks),
            *([_BOTH] if any(pair.verdict == "real" and _holds_none(pair.difference) for pair in pairs) else []),
            *_remarks(found, arms),
        ),
    )


_WITHIN = "; no difference where the interval lies within what is worth nothing"


_BOTH = "a pair can be real while its interval holds 0: the intervals hold all together, which makes them longer"


def _holds_none(difference: Estimate) -> bool:
    return difference.low is not None and difference.high is not None and difference.low <= 0 <= difference.high


def _lies_within(difference: Estimate, worth: float) -> bool:
    low, high = difference.low, difference.high
    return low is not None and high is not None and -worth < low and high < worth


def _enough(found: Decided) -> bool:
    return min(row.seeds for row in found.arms) >= FOR_A_VERDICT


def _only(found: Decided, a: str, b: str) -> Decided:
    return replace(found, arms=tuple(row for row in found.arms if row.letter in (a, b)))


def _lettered(text: str, letters: Sequence[str]) -> str:
    """Return a remark that counts the arms from 1 with their letters."""
    return re.sub(r"\barm (\d+)\b", lambda found: f"arm {letters[int(found[1]) - 1]}", text)
