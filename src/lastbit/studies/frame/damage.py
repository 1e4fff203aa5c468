"""A study with files that are missing or damaged: what is there is concluded, what is not is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from lastbit.core.status import RunStatus
from lastbit.report.blocks import Prose, Section
from lastbit.report.formatting import plural
from lastbit.store import DamagedFileError, StudyFolder
from lastbit.studies.frame.kind import Kind
from lastbit.studies.frame.result import Result

__all__ = ["concluded", "damage_section", "set_aside"]

R = TypeVar("R", bound=Result)


def set_aside(kind: Kind[Any, Any], folder: StudyFolder, *, thorough: bool = False) -> None:
    """Leave out of the study's runs those whose arrays cannot be read, and note why in `folder.damaged`.

    Args:
        kind: of the study.
        folder: the study.
        thorough: look at every file that was kept with a run, not only at what conclusions draw on.
    """
    folder.damaged = {}
    found, cells = {}, dict(enumerate(folder.facts.get("cells", ())))
    for record in folder.runs():
        if record.status == RunStatus.CRASHED:
            continue
        names = kind.reads(record, cells.get(record.cell, {}))
        if thorough and record.run not in names and folder.has_checksum(record.run):
            names = (*names, record.run)
        if reason := next(filter(None, map(folder.why_unreadable, names)), ""):
            found[record.run] = reason
    folder.damaged = found


def concluded(kind: Kind[Any, R], folder: StudyFolder) -> R:
    """Return what the runs say that can be read; the result names the others.

    Raises:
        LastbitError: nothing can be concluded.
    """
    try:
        return kind.conclude(folder)
    except DamagedFileError:
        set_aside(kind, folder)
        if not folder.damaged:
            raise
        return kind.conclude(folder)


def damage_section(folder: StudyFolder, of_result: Mapping[str, str]) -> list[Section]:
    """Return what a page says of the runs that cannot be read.

    Args:
        folder: the study, with its damaged runs set aside.
        of_result: those that were left out of the result.
    """
    found = {**of_result, **folder.damaged}
    if not found:
        return []
    shown = dict(list(found.items())[:12])
    lines = [f"{run}: {reason}" for run, reason in shown.items()]
    if len(found) > len(shown):
        lines.append(f"and {plural(len(found) - len(shown), 'more run')}")
    said = (
        f"The arrays of {plural(len(found), 'run')} are missing or damaged. "
        + (
            "Neither the numbers nor the figures count them."
            if of_result
            else "The figures leave them out; the numbers were concluded while they were whole."
        )
        + f" lastbit {folder.facts.get('continued_as', folder.facts['kind'])} --resume {folder.path} trains them again."
    )
    return [Section("What is missing", [Prose((said,)), Prose(lines, bullets=True)], brief=True)]
