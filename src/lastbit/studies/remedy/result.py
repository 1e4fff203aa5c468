"""What a search for a remedy concludes: the controls, what each change did, what was confirmed, the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lastbit.core.status import Role, RunStatus
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.audit.controls import compare_repeats, compare_twins
from lastbit.studies.frame.control import Control, Landing
from lastbit.studies.frame.folders import arms_of
from lastbit.studies.frame.kind import Job, Plan, Pointless
from lastbit.studies.frame.result import Result, RunRow, head, run_row
from lastbit.studies.remedy.changes.register import averaged
from lastbit.studies.remedy.found import Found
from lastbit.studies.remedy.judge import find, is_silent, looked_best
from lastbit.studies.remedy.measured import grids_of, metric_of
from lastbit.studies.remedy.names import BASE, names_of
from lastbit.studies.remedy.settings import RemedySettings
from lastbit.studies.remedy.verdict import remedy_verdict

__all__ = ["RemedyResult", "conclude", "due", "enough"]

_TO_TELL = 3
"""Seeds of the training as it is after which none of its last bit seen is an answer."""


@dataclass(frozen=True, kw_only=True)
class RemedyResult(Found, Result):
    """What a search for a remedy concluded.

    Attributes:
        control: whether the exact repeats matched.
        perturbation: whether the last bit was changed in the perturbed runs.
        runs: how each run ended.
    """

    control: Control
    perturbation: Landing
    runs: tuple[RunRow, ...]


def conclude(folder: StudyFolder) -> RemedyResult:
    """Return what the runs that are in say."""
    facts, records = folder.facts, folder.runs()
    settings, specs = RemedySettings(**facts["spec"]["settings"]), arms_of(facts["spec"])
    names = names_of(specs, settings.variant)
    # What is made of other runs is perturbed where they are.
    means = averaged(settings.change)
    trained = [one for one in records if names[facts["cells"][one.cell].get("arm", 0)] not in means]
    control, landing = compare_repeats(folder, trained), compare_twins(folder, trained)
    used = [one for one in records if one.run not in landing.not_landed]
    found = find(folder, used)
    base = [one for one in records if facts["cells"][one.cell].get("arm", 0) == 0 and one.role != Role.REPEAT]
    said = remedy_verdict(
        found,
        control,
        landing,
        names=[names[cell.get("arm", 0)] for cell in facts["cells"]],
        lost=[one.run for one in base if one.status != RunStatus.OK],
        own="command" in specs[0],
    )
    done = len(records)
    each = dict.fromkeys(names, settings.perturbations + 1)
    each |= {name: settings.perturbations // runs for name, runs in means.items()}
    explored = settings.seeds * sum(each.values())
    again = 0
    if settings.confirm and (found.contender or done < explored):
        again = settings.seeds * (each[BASE] + each[found.contender or BASE])
    planned = done if said.kind == "nothing_to_calm" else explored + again
    return RemedyResult(
        **head(folder, said, done, planned),
        **vars(found),
        control=control,
        perturbation=landing,
        runs=tuple(run_row(record) for record in records),
    )


def due(folder: StudyFolder, plan: Plan[RemedySettings], left: Sequence[Job]) -> Sequence[Job]:
    """Return the runs of the exploration; once they are in, those of the confirmation that they call for."""
    settings = plan.settings
    exploration = _possible(folder, [job for job in left if job.cell.seed < settings.seeds])
    if exploration or not settings.confirm or not left:
        return exploration
    best = looked_best(folder, settings)
    return [] if best is None else _possible(folder, [job for job in left if job.cell.arm in (0, best)])


def _possible(folder: StudyFolder, jobs: Sequence[Job]) -> Sequence[Job]:
    """Return those that train; where none is left, those that are made of others, which are in."""
    if trained := [job for job in jobs if not job.made_from]:
        return trained
    there = {record.run for record in folder.runs()}
    return [job for job in jobs if there.issuperset(job.made_from)]


def enough(folder: StudyFolder, plan: Plan[RemedySettings]) -> bool:
    """Tell whether the training as it is has no last-bit spread, so that there is nothing to calm.

    Raises:
        Pointless: arms are not measured alike.
    """
    settings, records = plan.settings, folder.runs()
    _check_alike(folder, plan, records)
    cells = folder.facts["cells"]
    first = range(_TO_TELL)
    of_base = [one for one in records if cells[one.cell].get("arm", 0) == 0 and cells[one.cell]["seed"] in first]
    if len(of_base) != _TO_TELL * (settings.perturbations + 1):
        return False
    return is_silent(grids_of(folder, of_base, 1, first, settings.perturbations)[0])


def _check_alike(folder: StudyFolder, plan: Plan[RemedySettings], records: Sequence[RunRecord]) -> None:
    """Refuse programs that say only when they have run what they measure, and do not measure the same.

    Raises:
        Pointless: two have another metric.
    """
    if not any(program.is_opaque for program in plan.programs):
        return
    names = names_of([program.spec() for program in plan.programs], plan.settings.variant)
    there = sorted({folder.facts["cells"][one.cell].get("arm", 0) for one in records if one.status == RunStatus.OK})
    told: list[tuple[str, Any]] = [(names[arm], metric_of(folder.facts, arm)) for arm in there]
    for name, metric in told[1:]:
        if (metric["name"], metric["unit"]) != (told[0][1]["name"], told[0][1]["unit"]):
            first = told[0][1]["name"]
            raise Pointless(f"{told[0][0]} is measured by {first} and {name} by {metric['name']}: measure both alike")
