"""What the doctor concludes: equal, or where and why not, and whether a change cures it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.launch.program import script_of
from lastbit.store import StudyFolder
from lastbit.studies.doctor.findings import Confirmation, Finding, Outcome, Tried
from lastbit.studies.doctor.verdict import NOTHING, confirmation_of, doctor_verdict
from lastbit.studies.frame.result import Result, head

__all__ = ["DoctorResult", "conclude"]


@dataclass(frozen=True, kw_only=True)
class DoctorResult(Result):
    """What the doctor concluded."""

    program: str
    """What is run twice, as a person calls it: `train.py`, the name of a task or of a function."""
    steps: int
    """After which all runs were compared, and equal, of all processes."""
    taken: int
    """Steps that the runs took; more than `steps` where long runs were not compared at each."""
    tensors: int
    """Compared at each step."""
    bytes: int
    """Of parameters and gradients, all steps of all comparisons together."""
    settings: Mapping[str, str]
    """Under which it holds: versions, threads, hash seed, deterministic mode, device."""
    changed: Mapping[str, tuple[str, str]]
    """Of these, what the run in a record had otherwise: there, and here."""
    finding: Finding | None
    """Where and why the runs differ; None where they do not."""
    confirmation: Confirmation | None
    """Whether the change that the cause suggests cures it; None where it was not tried."""
    tried: tuple[Tried, ...]
    """The causes that were tried, in order, up to the first whose change cures it."""
    outcomes: tuple[Outcome, ...]
    """Every comparison that was made, in order."""

    @property
    def lines(self) -> list[tuple[str, str]]:
        """The answer line by line, in the order in which it is told: what, and what of it."""
        from lastbit.studies.doctor.verdict import answer_lines

        return answer_lines(self.finding, self.tried)


_OUTCOMES = TypeAdapter(tuple[Outcome, ...])
_TRIED = TypeAdapter(tuple[Tried, ...])


def conclude(folder: StudyFolder) -> DoctorResult:
    """Return what the examination in the folder says.

    Raises:
        LastbitError: it crashed.
    """
    runs = folder.runs()
    for record in runs:
        if record.status == RunStatus.CRASHED:
            raise LastbitError(f"the examination in {folder.path} crashed: {record.message}")
    facts: Mapping[str, Any] = folder.facts["cells"][0] if runs else {}
    outcomes = _OUTCOMES.validate_python(facts.get("outcomes", ()))
    tried = _TRIED.validate_python(facts.get("tried", ()))
    words = folder.facts["spec"].get("command", {}).get("words", ())
    name = script_of(words) if words else folder.facts["task"]["name"]
    said = doctor_verdict(name, outcomes, tried) if outcomes else NOTHING
    finding = next((one.finding for one in outcomes if one.finding is not None), None)
    last = outcomes[-1] if outcomes else None
    return DoctorResult(
        **head(folder, said, len(runs), 1, "examination"),
        program=name,
        steps=min((one.steps for one in outcomes), default=0),
        taken=max((one.taken for one in outcomes), default=0),
        tensors=0 if last is None else last.tensors,
        bytes=sum(one.bytes for one in outcomes),
        settings={} if last is None else last.settings,
        changed={} if last is None else last.changed,
        finding=finding,
        confirmation=confirmation_of(finding, tried),
        tried=tried,
        outcomes=outcomes,
    )
