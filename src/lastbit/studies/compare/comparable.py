"""Can these arms be compared at all? Metric, unit, direction, test set, and enough runs."""

from __future__ import annotations

from collections.abc import Sequence

from lastbit.core.errors import LastbitError
from lastbit.report.formatting import count, plural
from lastbit.studies.compare.arms import ArmRuns
from lastbit.studies.frame.arms import LETTERS

__all__ = ["check_alike", "check_comparable"]


def check_alike(arms: Sequence[ArmRuns]) -> None:
    """Refuse arms that are not measured alike.

    Raises:
        LastbitError: they differ in metric, unit, direction or test set.
    """
    # Of a function nothing is known before a run of it is in.
    known = [(letter, arm) for letter, arm in zip(LETTERS, arms, strict=False) if arm.values]
    named = {arm.metric.lower(): (letter.upper(), arm.metric) for letter, arm in known if arm.metric}
    if len(named) > 1:
        (a, first), (b, second) = list(named.values())[:2]
        raise LastbitError(
            f"arm {a} is measured by {first} and {b} by {second}: name a metric that both have by --metric"
        )
    units = {arm.unit: (letter.upper(), arm.metric) for letter, arm in known if arm.metric and not arm.plain}
    if len(units) > 1:
        (unit, (a, metric)), (other, (b, _)) = list(units.items())[:2]
        raise LastbitError(
            f"arm {a} is measured by {metric} in {unit or 'numbers without a unit'} and {b} in "
            f"{other or 'numbers without a unit'}: measure both alike"
        )
    if len({arm.higher_is_better for _, arm in known if arm.higher_is_better is not None}) > 1:
        raise LastbitError("one arm says that higher is better and another that lower is: say which by --better")
    sizes = {arm.test_size: letter for letter, arm in known if arm.test_size is not None}
    if len(sizes) > 1:
        (one, a), (two, b) = list(sizes.items())[:2]
        raise LastbitError(
            f"arm {a.upper()} has a test set of {plural(one, 'example')} and {b.upper()} one of {count(two)}: measure "
            "both on one"
        )
    sets = {arm.test_targets: letter for letter, arm in known if arm.test_targets}
    if len(sets) > 1:
        a, b = list(sets.values())[:2]
        raise LastbitError(
            f"the test sets of arm {a.upper()} and {b.upper()} ask for other targets, as many as they are: measure "
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
    plain = [arm for arm in arms if arm.plain]
    for place, arm in enumerate(plain):
        for other in plain[:place]:
            if (arm.values, arm.seeds) == (other.values, other.seeds):
                raise LastbitError(
                    f"{other.name} and {arm.name} hold the same runs, which say nothing of each other: give others"
                )
    if all(arm.higher_is_better is None for arm in arms):
        raise LastbitError("which is better is not known: give --better higher or --better lower")
    seeds = [len(set(arm.seed_of)) for arm in arms]
    if max(seeds) < 2 or (len(arms) > 2 and min(seeds) < 2):
        raise LastbitError("one run an arm says nothing of the next one: train each arm with 3 seeds or more")
    if paired:
        unnamed = [arm.name for arm in arms if arm.seeds is None]
        if unnamed:
            raise LastbitError(f"--paired matches runs by their seed, and {unnamed[0]} names none: write seed,value")
        if len(set(arms[0].seed_of) & set(arms[1].seed_of)) < 2:
            raise LastbitError("--paired needs two seeds or more that both arms have: compare them unpaired")
