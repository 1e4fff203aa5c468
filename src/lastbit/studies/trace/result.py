"""The result of a trace: every training of the sweep with its twins, and the verdict over all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lastbit.core.status import RunStatus
from lastbit.store import StudyFolder
from lastbit.studies.frame.result import Result, RunRow, Verdict, head, run_row
from lastbit.studies.frame.study import training_named
from lastbit.studies.trace.twins_found import TwinsFound, twins_found
from lastbit.studies.trace.verdict import member_sentence, sentence

__all__ = ["TraceMember", "TraceResult", "conclude", "finished_cells", "member_named"]


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

    @property
    def passed(self) -> bool:
        """Whether the controls passed, so that the growth is the last bit's."""
        return not any(member.silent for member in self.members)


def finished_cells(folder: StudyFolder) -> list[dict[str, Any]]:
    """Return the trainings whose runs are all in, as `study.json` describes them."""
    done = {record.run for record in folder.runs() if record.status != RunStatus.CRASHED}
    return [cell for cell in folder.facts["cells"] if f"{cell['name']}-base" in done]


def member_named(folder: StudyFolder, name: str | None) -> str:
    """Return the name of a finished training of the sweep, by default that of the first.

    Raises:
        LastbitError: there is none of that name, or none at all.
    """
    return training_named(name, [cell["name"] for cell in finished_cells(folder)], "member", folder.path, "trace")


def conclude(folder: StudyFolder) -> TraceResult:
    """Return what the trainings that are in say."""
    facts, records = folder.facts, folder.runs()
    perturb = facts["spec"]["settings"]["perturb"]
    cells = finished_cells(folder)
    found = [twins_found(cell, perturb, folder.arrays(cell["name"]), records) for cell in cells]
    crashed = [record for record in records if record.status == RunStatus.CRASHED]
    nothing = f"{crashed[0].run} crashed: {crashed[0].message}." if crashed else "no training is finished yet."
    said = sentence(found) if found else Verdict(nothing, "no_runs", "")
    first = vars(found[0]) if found else {}
    return TraceResult(
        **{**first, **head(folder, said, len(found), len(facts["cells"]), "training")},
        members=tuple(TraceMember(**vars(twins), verdict=member_sentence(twins) + ".") for twins in found),
        runs=tuple(map(run_row, records)),
    )
