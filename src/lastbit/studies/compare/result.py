"""What a comparison concludes: the arms, their differences with intervals, a decision, and what would settle it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lastbit.store import StudyFolder
from lastbit.studies.audit.controls import compare_repeats, compare_twins
from lastbit.studies.compare.arms import ArmRuns, arms_of_study, paired_examples, right_on_examples, stored_arms
from lastbit.studies.compare.decide import Decided, decide
from lastbit.studies.compare.runs import runs_planned
from lastbit.studies.compare.settings import CompareSettings
from lastbit.studies.compare.verdict import compare_verdict
from lastbit.studies.frame.control import Control, Landing
from lastbit.studies.frame.kind import Plan
from lastbit.studies.frame.result import Result, RunRow, head, run_row
from lastbit.studies.frame.settings import command_words

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
        arms, records = _trained(folder), folder.runs()
        done, planned = len(records), runs_planned(settings, len(arms))
    perturbed = settings.perturbations > 1 and bool(records)
    control = compare_repeats(folder, records) if perturbed else None
    landing = compare_twins(folder, records) if perturbed else None
    silent = control is not None and control.first_difference is not None
    decided = decide(arms, settings, silent=silent, right=_right(folder, len(arms)))
    said = compare_verdict(decided)
    planned = done if decided.settled else planned
    return CompareResult(
        **head(folder, said, done, planned),
        **vars(decided),
        control=control,
        perturbation=landing,
        runs=tuple(run_row(record) for record in records),
    )


def _right(folder: StudyFolder, arms: int) -> list[list[int]] | None:
    if arms != 2:
        return None
    if "arms" in folder.facts:
        stored: list[list[int]] | None = folder.facts["right"]
        return stored
    return paired_examples(right_on_examples(folder, 0), right_on_examples(folder, 1))


def _trained(folder: StudyFolder) -> list[ArmRuns]:
    """Return the arms whose runs the study has itself."""
    return arms_of_study(folder, _names(folder.facts["spec"]["arms"]))


def _names(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what each arm is: a command, a name, or a task with the settings that are not the same in all."""
    every = [spec.get("program", {}) for spec in specs]
    other = [name for name in every[0] if name != "task" and any(one.get(name) != every[0][name] for one in every)]
    return [_name(spec, other) for spec in specs]


def _name(spec: Mapping[str, Any], other: Sequence[str]) -> str:
    if "command" in spec:
        return shlex.join(spec["command"]["words"])
    if "object" in spec:
        return str(spec["object"])
    told = {name: spec["program"].get(name) for name in other}
    return shlex.join([spec["program"]["task"], *command_words(told)])


def enough(folder: StudyFolder, plan: Plan[CompareSettings]) -> bool:
    """Tell whether the look after the last whole pair of seeds decides; where their number is fixed, none does."""
    return plan.settings.sequential and decide(_trained(folder), plan.settings).settled
