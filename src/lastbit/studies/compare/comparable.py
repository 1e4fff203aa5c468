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
