"""From the arms' runs to a decision: what each arm is in numbers, and which procedure decides about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from lastbit import stats
from lastbit.stats import Estimate, not_measured
from lastbit.studies.compare.arms import ArmRuns
from lastbit.studies.compare.decide_several import decide_several
from lastbit.studies.compare.decide_two import decide_two
from lastbit.studies.compare.decided import UNNAMED, ArmRow, Decided, Pair
from lastbit.studies.compare.settings import CompareSettings
from lastbit.studies.frame.arms import LETTERS

Right: TypeAlias = Sequence[ArrayLike]

__all__ = ["decide"]


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
        chosen=tuple(stats.best_of_runs(arm.means, higher_is_better=higher) for arm in arms if arm.values),
    )
    seeds = [row.seeds for row in rows]
    if max(seeds) < 2 or min(seeds) < (1 if len(arms) == 2 else 2):
        return found
    if not any(np.ptp(arm.means) for arm in arms):
        return _without_spread(found)
    if settings.paired and len(set(rows[0].seed_of) & set(rows[1].seed_of)) < 2:
        return found
    silent = silent or next((arm.silent for arm in arms if arm.silent), "")
    return decide_two(found, arms, settings, silent) if len(arms) == 2 else decide_several(found, arms, settings)


def _row(letter: str, arm: ArmRuns, higher: bool) -> ArmRow:
    by_seed = arm.by_seed.values()
    width = max(map(len, by_seed), default=0)
    table = [values + [np.nan] * (width - len(values)) for values in by_seed]
    few = not_measured("no run counts", 0)
    return ArmRow(
        letter=letter,
        name=arm.name,
        seeds=len(by_seed),
        runs=len(arm.values),
        mean=stats.mean_estimate(arm.means) if arm.values else few,
        sigma=stats.variance_components(table).sigma_total if table else few,
        best=(max if higher else min)(arm.values, default=None),
        values=arm.values,
        seed_of=arm.seed_of,
        left_out=arm.left_out,
        lost=arm.lost,
    )


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
