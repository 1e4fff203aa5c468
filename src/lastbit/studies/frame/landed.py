"""In how many weights perturbed runs differ from their base, counted while the runs come in.

The weights after the first step and of the result are lent by the runs (`frame.weighing`) until both of a pair are in;
what is counted stays in the database, exact for any size, and the weights go.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lastbit.core.recorder import MOMENTS
from lastbit.core.status import Role
from lastbit.store import LandedCount, StudyFolder
from lastbit.studies.frame.kind import Job
from lastbit.studies.frame.stored_weights import Arrays, arrays_of, differing, is_former, stored_weights

__all__ = ["count_between", "count_landed"]


def count_between(folder: StudyFolder, run: str, arrays: Arrays, base: str, of_base: Arrays) -> LandedCount | None:
    """Count in how many weights a run differs from its base, as far as the weights of both are there."""
    counts: dict[str, int | None] = {}
    weights = 0
    for when in MOMENTS:
        one, two = (stored_weights(folder.files(name), its, when) for name, its in ((run, arrays), (base, of_base)))
        counts[when] = None if one is None or two is None else differing(one, two)
        weights = weights or sum(x.numel() for x in one or ())
    if weights == 0 or set(counts.values()) == {None}:
        return None
    return LandedCount(weights=weights, first=counts["first"], last=counts["final"])


def count_landed(folder: StudyFolder, jobs: Sequence[Job], finished: Collection[str]) -> None:
    """Count what can be counted of a cell, and drop the weights that no run of it waits for any more.

    Args:
        folder: the study, opened to write.
        jobs: of the cell.
        finished: names of the runs that are in.
    """
    runs = [job for job in jobs if job.role != Role.REPEAT]
    base = next((job.run for job in runs if job.role == Role.BASE), None)
    twins = [job.run for job in runs if job.role == Role.TWIN]
    if base is None or base not in finished or not twins:
        return
    counted = folder.counts()
    of_base = None
    for twin in twins:
        if twin in finished and _lends(folder, (twin, base)) and twin not in counted:
            of_base = of_base if of_base is not None else arrays_of(folder, base)
            arrays = arrays_of(folder, twin)
            if of_base is None or arrays is None or (is_former(arrays) and is_former(of_base)):
                continue
            if (count := count_between(folder, twin, arrays, base, of_base)) is not None:
                folder.keep_count(twin, count)
        if twin in finished:
            folder.files(twin).drop_lent()
    if set(twins) <= set(finished):
        folder.files(base).drop_lent()


def _lends(folder: StudyFolder, runs: Sequence[str]) -> bool:
    return any(folder.files(run).lent_path(when).exists() for run in runs for when in MOMENTS)
