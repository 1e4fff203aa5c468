"""What a comparison concludes: the arms, their differences with intervals, a decision, and what would settle it."""

from __future__ import annotations

from dataclasses import dataclass

from lastbit.core.errors import LastbitError
from lastbit.report.formatting import ordinal
from lastbit.store import StudyFolder
from lastbit.studies.audit.controls import compare_repeats, compare_twins
from lastbit.studies.compare.arms import ArmRuns, arms_of_study, paired_examples, right_on_examples, stored_arms
from lastbit.studies.compare.comparable import check_alike
from lastbit.studies.compare.decide import decide
from lastbit.studies.compare.decide_two import is_settled
from lastbit.studies.compare.decided import Decided
from lastbit.studies.compare.names import names_of_programs
from lastbit.studies.compare.runs import refuse_one_run, runs_planned
from lastbit.studies.compare.settings import CompareSettings
from lastbit.studies.compare.verdict import compare_verdict
from lastbit.studies.frame.control import Control, Landing
from lastbit.studies.frame.kind import Plan, Pointless
from lastbit.studies.frame.result import Result, RunRow, head, run_row

__all__ = ["CompareResult", "conclude", "enough"]


@dataclass(frozen=True, kw_only=True)
class CompareResult(Decided, Result):
    """What a comparison concluded.

    Attributes:
        control: whether the exact repeats matched; None where no run was perturbed, or arms were read.
        perturbation: whether the last bit was changed in the perturbed runs; None likewise.
        runs: how each run ended; none where the arms were read.
    """

    control: Control | None
    perturbation: Landing | None
    runs: tuple[RunRow, ...]


def conclude(folder: StudyFolder) -> CompareResult:
    """Return what the arms of a comparison say, those that were read or those whose runs are in."""
    facts = folder.facts
    settings = CompareSettings(**facts["spec"]["settings"])
    if "arms" in facts:
        arms, records = stored_arms(facts), []
        done = planned = sum(len(arm.values) for arm in arms)
    else:
        arms, records = _trained(folder, settings), folder.runs()
        done, planned = len(records), runs_planned(settings, len(arms))
    perturbed = settings.perturbations > 1 and bool(records)
    control = compare_repeats(folder, records) if perturbed else None
    landing = compare_twins(folder, records) if perturbed else None
    decided = decide(arms, settings, silent=_why_silent(control, landing), right=_right(folder, len(arms)))
    planned = done if decided.settled else planned
    said = compare_verdict(decided, finished=done >= planned)
    return CompareResult(
        **head(folder, said, done, planned),
        **vars(decided),
        control=control,
        perturbation=landing,
        runs=tuple(run_row(record) for record in records),
    )


def _why_silent(control: Control | None, landing: Landing | None) -> str:
    """Return why runs of one seed do not differ in the last bit alone; "" where they do, or there are none."""
    if control is not None and control.first_difference is not None:
        step = control.first_difference.step
        what = f"an exact repeat differed from the {ordinal(step)} step on"
        return f"{what}, so that runs of one seed differ in more than the last bit"
    if landing is not None and landing.not_landed:
        return f"the perturbation of {landing.not_landed[0]} did not land"
    return ""


def _right(folder: StudyFolder, arms: int) -> list[list[int]] | None:
    if arms != 2:
        return None
    if "arms" in folder.facts:
        stored: list[list[int]] | None = folder.facts["right"]
        return stored
    return paired_examples(right_on_examples(folder, 0), right_on_examples(folder, 1))


def _trained(folder: StudyFolder, settings: CompareSettings) -> list[ArmRuns]:
    """Return the arms whose runs the study has itself; where it looks at them, those of the last whole look."""
    names = names_of_programs(folder.facts["spec"]["arms"])
    return arms_of_study(folder, names, settings, look=settings.sequential)


def enough(folder: StudyFolder, plan: Plan[CompareSettings]) -> bool:
    """Tell whether the look after the last whole pair of seeds decides; where their number is fixed, none does.

    Raises:
        Pointless: every run of a command that takes no seed gave the same value, or arms are not measured alike.
    """
    settings = plan.settings
    refuse_one_run(folder, plan)
    try:
        arms = _trained(folder, settings)
        check_alike(arms)
    except LastbitError as error:
        raise Pointless(str(error)) from None
    return settings.sequential and is_settled(arms, settings)
