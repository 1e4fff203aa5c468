"""What a difference of arms does not show by itself: which one it favours, lost runs, and how the arms came about."""

from __future__ import annotations

from collections.abc import Sequence

from lastbit.report.formatting import count, plural, show
from lastbit.stats import Estimate, Verdict, not_measured
from lastbit.studies.compare.arms import ArmRuns
from lastbit.studies.compare.decided import ArmRow, Decided

__all__ = ["better_of", "fair", "remarks_on"]


def better_of(verdict: str, difference: Estimate, higher: bool, a: str, b: str) -> str:
    """Return the better of two arms where their difference is real; "" otherwise."""
    if verdict != "real" or difference.estimate is None:
        return ""
    return b if (difference.estimate > 0) == higher else a


def fair(
    rows: Sequence[ArmRow], higher: bool, verdict: Verdict, difference: Estimate, reason: str
) -> tuple[Verdict, str]:
    """Return the verdict, undecided where the better arm is better among the runs alone that it did not lose."""
    better = better_of(verdict, difference, higher, rows[0].letter, rows[1].letter)
    lost = {row.letter: row.lost / (row.lost + row.runs) for row in rows}
    if better and lost[better] > max(share for letter, share in lost.items() if letter != better):
        row = next(row for row in rows if row.letter == better)
        return "undecided", (
            f"{better} is ahead in the runs that ended alone, and lost {count(row.lost)} of "
            f"{plural(row.lost + row.runs, 'run')}, which no result stands for"
        )
    return verdict, reason


def remarks_on(found: Decided, arms: Sequence[ArmRuns]) -> tuple[str, ...]:
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
    if len(arms) == 2 and _same_values(*arms):
        said.append("B gave the very value of A with every seed that both have: the change altered nothing that shows")
    name = found.metric.lower()
    if "best" in name.replace("-", "_").split("_"):
        said.append(
            f"by its name {found.metric} is the best of several checkpoints, to which choosing adds: compare the last"
        )
    return tuple(said)


def _same_values(a: ArmRuns, b: ArmRuns) -> bool:
    """Return whether the seeds that both arms name, two or more, gave the same values in both."""
    if a.seeds is None or b.seeds is None:
        return False
    one, other = a.by_seed, b.by_seed
    shared = one.keys() & other.keys()
    return len(shared) > 1 and all(one[seed] == other[seed] for seed in shared)
