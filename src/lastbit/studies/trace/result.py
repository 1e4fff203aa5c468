"""The result of a trace: every training of the sweep, or every optimizer of a program, and the verdict over all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lastbit.core.status import RunStatus
from lastbit.store import StudyFolder
from lastbit.studies.frame.result import Result, RunRow, Verdict, head, run_row
from lastbit.studies.frame.study import training_named
from lastbit.studies.trace.separate import is_separate, separate_twins
from lastbit.studies.trace.twins_found import TwinsFound, twins_found
from lastbit.studies.trace.verdict import member_sentence, sentence

__all__ = ["TraceMember", "TraceResult", "conclude", "member_arrays", "members_found"]


@dataclass(frozen=True, kw_only=True)
class TraceMember(TwinsFound):
    """One training of the sweep, with what its twins show in a sentence."""

    verdict: str


@dataclass(frozen=True, kw_only=True)
class TraceResult(Result, TwinsFound):
    """What a trace concluded.

    What the first training shows stands at the top too (`result.decades`); `members` holds every one with its learning
    rate and format. Of a function or command every optimizer is a member, of an audit's runs every optimizer of every
    seed.
    """

    members: tuple[TraceMember, ...]
    runs: tuple[RunRow, ...]
    optimizers: Mapping[str, str] = field(default_factory=dict)
    """How each optimizer of a function or command was perturbed, or why not, by its class."""

    @property
    def passed(self) -> bool:
        """Whether the controls passed, so that the growth is the last bit's."""
        return not any(member.silent for member in self.members)


def finished_cells(folder: StudyFolder) -> list[dict[str, Any]]:
    """Return the trainings whose runs are all in, as `study.json` describes them; of separate runs, any that are in."""
    done = {record.run for record in folder.runs() if record.status != RunStatus.CRASHED}
    return [cell for cell in folder.facts["cells"] if is_separate(cell) or f"{cell['name']}-base" in done]


def members_found(folder: StudyFolder) -> list[tuple[TwinsFound, dict[str, np.ndarray]]]:
    """Return what the twins of every training show, or of every optimizer in it, with the arrays behind it."""
    records, cells = folder.runs(), finished_cells(folder)
    perturb = folder.facts["spec"]["settings"]["perturb"]
    found = []
    for cell in cells:
        if is_separate(cell):
            found += separate_twins(folder, cell, records, perturb=perturb, alone=len(cells) == 1)
        else:
            arrays = folder.arrays(cell["name"])
            found.append((twins_found(cell, perturb, arrays, records), arrays))
    return found


def member_arrays(folder: StudyFolder, name: str | None) -> tuple[str, dict[str, np.ndarray]]:
    """Return the name of a training of the sweep, or of an optimizer, by default the first, and its arrays.

    Raises:
        LastbitError: there is none of that name, or none at all.
    """
    cells = finished_cells(folder)
    if any(map(is_separate, cells)):
        every = {found.name: arrays for found, arrays in members_found(folder) if arrays}
        chosen = training_named(name, list(every), "member", folder.path, "trace")
        return chosen, every[chosen]
    chosen = training_named(name, [cell["name"] for cell in cells], "member", folder.path, "trace")
    return chosen, folder.arrays(chosen)


def conclude(folder: StudyFolder) -> TraceResult:
    """Return what the trainings that are in say."""
    facts, records = folder.facts, folder.runs()
    found = [twins for twins, _ in members_found(folder)]
    crashed = [record for record in records if record.status == RunStatus.CRASHED]
    nothing = f"{crashed[0].run} crashed: {crashed[0].message}." if crashed else "no training is finished yet."
    said = sentence(found) if found else Verdict(nothing, "no_runs", "")
    first = vars(found[0]) if found else {}
    cells = facts["cells"]
    if any(map(is_separate, cells)):
        counted = head(folder, said, len(records), len(cells) * (facts["spec"]["settings"]["twins"] + 2))
    else:
        counted = head(folder, said, len(found), len(cells), "training")
    return TraceResult(
        **{**first, **counted},
        members=tuple(TraceMember(**vars(twins), verdict=member_sentence(twins) + ".") for twins in found),
        runs=tuple(map(run_row, records)),
        optimizers={name: how for cell in cells for name, how in cell.get("perturbed", {}).items()},
    )
