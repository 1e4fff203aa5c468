"""A study on disk, opened as what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from lastbit.core.errors import choose
from lastbit.store import StudyFolder
from lastbit.studies.audit.study import AuditStudy
from lastbit.studies.eos.study import EosStudy
from lastbit.studies.sharpness.study import SharpnessStudy
from lastbit.studies.trace.study import TraceStudy

__all__ = ["AnyStudy", "open_study"]

AnyStudy: TypeAlias = AuditStudy | TraceStudy | EosStudy | SharpnessStudy
"""What `open_study` returns."""


def open_study(path: str | Path) -> AnyStudy:
    """Open a study that was trained before, finished or not.

    Raises:
        LastbitError: the folder holds no study, one of another format, or one of a kind that cannot be opened.
    """
    with StudyFolder.read(Path(path)) as folder:
        kind = choose(str(folder.facts.get("kind")), _KINDS, "kind of study")
    return _KINDS[kind](Path(path))


_KINDS: dict[str, Callable[[Path], AnyStudy]] = {
    "audit": AuditStudy,
    "trace": TraceStudy,
    "eos": EosStudy,
    "sharpness": SharpnessStudy,
}
