"""The result of a trace: every training of the sweep with its twins, and the verdict over all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lastbit.store import StudyFolder
from lastbit.studies.frame.result import Result, RunRow, Verdict, head, run_row
from lastbit.studies.trace.twins_found import TwinsFound, twins_found
from lastbit.studies.trace.verdict import member_sentence, sentence

__all__ = ["TraceMember", "TraceResult", "conclude", "finished_members"]


@dataclass(frozen=True, kw_only=True)
class TraceMember(TwinsFound):
    """One training of the sweep, with what its twins show in a sentence."""

    verdict: str


@dataclass(frozen=True, kw_only=True)
class TraceResult(Result, TwinsFound):
    """What a trace concluded.

    What the first training shows stands at the top too (`result.decades`); `members` holds every one with its learning
    rate and format.
    """

    members: tuple[TraceMember, ...]
    runs: tuple[RunRow, ...]


def finished_members(folder: StudyFolder) -> list[dict[str, Any]]:
    """Return those members of the sweep whose runs are all in, as `study.json` names them."""
    done = {record.run for record in folder.runs()}
    return [member for member in folder.facts["members"] if f"{member['name']}-base" in done]


def conclude(folder: StudyFolder) -> TraceResult:
    """Return what the trainings that are in say."""
    facts, records = folder.facts, folder.runs()
    perturb, planned = facts["spec"]["trace"]["perturb"], facts["members"]
    found = [
        twins_found(planned.index(member), member, perturb, folder.arrays(member["name"]), records)
        for member in finished_members(folder)
    ]
    said = sentence(found) if found else Verdict("no training is finished yet.", "no_runs", "")
    first = vars(found[0]) if found else {}
    return TraceResult(
        **{**first, **head(folder, said, len(found), len(planned), "trainings")},
        members=tuple(TraceMember(**vars(twins), verdict=member_sentence(twins) + ".") for twins in found),
        runs=tuple(map(run_row, records)),
    )
