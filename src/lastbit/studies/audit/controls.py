"""What comes before any spread: do the repeats repeat, and is the perturbation seen in the runs?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lastbit.core.status import Role, RunStatus
from lastbit.stats import Estimate, proportion_estimate
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.frame.control import (
    RECORDED,
    Control,
    LandedRun,
    Landing,
    compare_repeat,
    control_of,
    landing_of,
    other_records,
)
from lastbit.studies.frame.landed import count_between
from lastbit.studies.frame.stored_weights import without_weights

__all__ = [
    "Divergence",
    "compare_repeats",
    "compare_twins",
    "divergence_of",
    "reason_for_silence",
]


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """The runs that diverged or are diverging, which no spread can hold."""

    runs: int
    """Runs that ended, the repeats left out."""
    diverged: int
    seeds: int
    """Seeds that these runs are of."""
    seeds_with: int
    """Seeds of which a run diverged."""
    parted: int
    """Seeds of which one run diverged and another did not: there the last bit decided."""
    chance: Estimate
    """That of another seed a run would diverge, as a share."""


def divergence_of(records: Sequence[RunRecord]) -> Divergence:
    """Return how many of the runs diverged, and of how many seeds."""
    ended = [r for r in records if r.role != Role.REPEAT and r.status != RunStatus.CRASHED]
    diverged = [r for r in ended if r.status in (RunStatus.DIVERGED, RunStatus.DIVERGING)]
    seeds, left = {r.cell for r in ended}, {r.cell for r in diverged}
    return Divergence(
        runs=len(ended),
        diverged=len(diverged),
        seeds=len(seeds),
        seeds_with=len(left),
        parted=len(left & {r.cell for r in ended if r.status == RunStatus.OK}),
        chance=proportion_estimate(len(left), len(seeds)),
    )


def compare_repeats(folder: StudyFolder, records: Sequence[RunRecord]) -> Control:
    """Compare every repeat with its base."""
    usable = {(r.cell, r.role): r for r in records if r.status != RunStatus.CRASHED and r.role != Role.TWIN}
    repeats = [r for (cell, role), r in usable.items() if role == Role.REPEAT and (cell, Role.BASE) in usable]
    return control_of(compare_repeat(folder, usable[repeat.cell, Role.BASE], repeat) for repeat in repeats)


def compare_twins(folder: StudyFolder, records: Sequence[RunRecord]) -> Landing:
    """Compare every perturbed run with its base."""
    rows, counts = [], folder.counts()
    usable = [r for r in records if r.status != RunStatus.CRASHED]
    bases = {r.cell: (r, without_weights(folder.arrays(r.run))) for r in usable if r.role == Role.BASE}
    for record in usable:
        if record.role == Role.TWIN and record.cell in bases:
            base, of_base = bases[record.cell]
            arrays = folder.arrays(record.run)
            count = counts.get(record.run)
            if count is None:
                # Before both are in, and where a former lastbit made them, the weights are there to be counted.
                count = count_between(folder, record.run, arrays, base.run, folder.arrays(base.run))
            first, last = (None, None) if count is None else (count.first_share, count.last_share)
            known = [share for share in (first, last) if share is not None]
            # A program that keeps no weights shows a landed perturbation by whatever it does keep.
            apart = other_records(arrays, of_base) is not None
            seen = apart or _differ(arrays, of_base) or record.metrics != base.metrics
            landed = any(known) or (len(known) < 2 and seen)
            rows.append(LandedRun(run=record.run, landed=landed, first_step=first, last_step=last))
    return landing_of(folder.facts["spec"]["settings"]["perturb"], rows)


def _differ(arrays: Mapping[str, np.ndarray], base: Mapping[str, np.ndarray]) -> bool:
    shared = {name for name in set(arrays) & set(base) if not name.startswith(RECORDED)}
    return any(arrays[name].tobytes() != base[name].tobytes() for name in shared)


def reason_for_silence(control: Control, landing: Landing, records: Sequence[RunRecord], metric: str) -> str:
    """Return why the runs say nothing of the last bit; "" where they do."""
    trained = [r for r in records if r.status == RunStatus.OK and r.role != Role.REPEAT]
    if not trained:
        return "every run diverged" if divergence_of(records).diverged else "no run finished"
    if control.first_difference is not None:
        return "an exact repeat did not match bit for bit"
    if not control.pairs:
        return "no exact repeat could be compared"
    if landing.landed_fraction == 0:
        return "the perturbation changed no weight"
    twins = [r.status for r in records if r.role == Role.TWIN]
    if twins and set(twins) == {RunStatus.CRASHED}:
        return "every perturbed run crashed"
    if not any(np.isfinite(r.final.get(metric, np.nan)) for r in trained):
        return f"{metric} is not a finite number in any run"
    return ""
