"""What a check of sameness concludes: the answer, what differs, each tensor in units of rounding, what was not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.stats.forced_flags import LIMITS
from lastbit.store import StudyFolder
from lastbit.studies.frame.result import Result, head
from lastbit.studies.same.evidence import Evidence
from lastbit.studies.same.findings import Finding
from lastbit.studies.same.judge import TensorRow, judge
from lastbit.studies.same.nature import Nature, by_nature
from lastbit.studies.same.unseen import not_compared
from lastbit.studies.same.verdict import NOTHING, same_verdict

__all__ = ["FinalMetric", "Ran", "SameResult", "conclude", "evidence_of"]


@dataclass(frozen=True, kw_only=True)
class FinalMetric:
    """A number that both programs end with; the candidate computes its own from the reference's weights."""

    name: str
    reference: float
    candidate: float


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What was run."""

    reference: str
    candidate: str
    runs: tuple[str, ...]
    """What each was for."""
    seconds: float
    ended: str = ""
    """How the candidate ended, where that was badly."""
    metrics: tuple[FinalMetric, ...] = ()
    troubles: tuple[str, ...] = ()
    """What could not be run, and so is not known."""


@dataclass(frozen=True, kw_only=True)
class SameResult(Result):
    """What a check of sameness concluded."""

    steps: int
    """That were compared."""
    first_step: int | None
    """At which something differs by more than rounding; None where nothing does."""
    tensor: str
    """In which it does; "" where it is of all, or nothing does."""
    what: str
    """What it is, one of a few fixed words; "" where nothing does."""
    factor: float | None
    """Of a gradient's scale."""
    findings: tuple[Finding, ...]
    """All that differs, in the order in which it came about."""
    tensors: tuple[TensorRow, ...]
    staircase_ratio: float | None
    """How much further the candidate's gradients move than the reference's when the weights move by 2^-18."""
    by_nature: tuple[Nature, ...]
    """What may be other by nature, with its cure."""
    not_compared: tuple[str, ...]
    ran: Ran | None
    limits: Mapping[str, float]
    """Beyond which a difference is no rounding."""


_RAN = TypeAdapter(Ran)


def evidence_of(folder: StudyFolder) -> Evidence | None:
    """Return what the runs of a study left; None where they are not in."""
    runs = folder.runs()
    if not runs:
        return None
    return Evidence.from_kept(folder.arrays(runs[0].run), folder.facts["cells"][runs[0].cell]["evidence"])


def conclude(folder: StudyFolder) -> SameResult:
    """Return what the runs of a study say.

    Raises:
        LastbitError: they crashed.
    """
    for record in folder.runs():
        if record.status == RunStatus.CRASHED:
            raise LastbitError(f"the check in {folder.path} crashed: {record.message}")
    evidence = evidence_of(folder)
    if evidence is None:
        return SameResult(**head(folder, NOTHING, 0, 1, "check"), **_nothing())
    facts: Mapping[str, Any] = folder.facts["cells"][folder.runs()[0].cell]
    ran = _RAN.validate_python(facts["ran"])
    judgement = judge(evidence)
    nature = by_nature(evidence, judgement.findings)
    control = _control_words(evidence)
    said = same_verdict(
        judgement, len(evidence.steps), nature=nature, ended=ran.ended, control=control, alone=not ran.candidate
    )
    first = judgement.findings[0] if said.kind == "different" else None
    return SameResult(
        **head(folder, said, 1, 1, "check"),
        steps=len(evidence.steps),
        first_step=None if first is None else first.step,
        tensor="" if first is None else first.tensor,
        what="" if first is None else first.what,
        factor=None if first is None else first.factor,
        findings=judgement.findings,
        tensors=judgement.tensors,
        staircase_ratio=judgement.staircase,
        by_nature=nature,
        not_compared=not_compared(evidence, ran.troubles),
        ran=ran,
        limits=asdict(LIMITS),
    )


def _nothing() -> dict[str, Any]:
    nothing = dict.fromkeys(("first_step", "factor", "staircase_ratio", "ran"))
    empty: dict[str, Any] = dict.fromkeys(("findings", "tensors", "by_nature", "not_compared"), ())
    return {**nothing, **empty, "steps": 0, "tensor": "", "what": "", "limits": asdict(LIMITS)}


def _control_words(evidence: Evidence) -> str:
    if evidence.control is None:
        return ""
    step, tensor = evidence.control
    where = f", in {tensor}" if tensor else ""
    return f" from step {step} on{where}" if step else where
