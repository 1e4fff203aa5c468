"""The kinds of study there are, by name; a study on disk, opened as what it is."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from lastbit.core.errors import LastbitError, choose

if TYPE_CHECKING:
    from lastbit.studies.frame.kind import Kind
    from lastbit.studies.frame.study import Study

__all__ = ["KINDS", "is_session", "kind_named", "open_study"]

KINDS = {
    "audit": "lastbit.studies.audit.kind:AUDIT",
    "trace": "lastbit.studies.trace.kind:TRACE",
    "eos": "lastbit.studies.eos.kind:EOS",
    "sharpness": "lastbit.studies.sharpness.kind:SHARPNESS",
    "doctor": "lastbit.studies.doctor.kind:DOCTOR",
    "remedy": "lastbit.studies.remedy.kind:REMEDY",
    "compare": "lastbit.studies.compare.kind:COMPARE",
    "same": "lastbit.studies.same.kind:SAME",
}
"""Where each kind stands: `module:name`, so that the names can be listed without importing torch."""


def kind_named(name: str) -> Kind[Any, Any]:
    """Return the kind of study that a command makes.

    Raises:
        LastbitError: there is none of this name.
    """
    kind: Kind[Any, Any] = resolve_name(KINDS[choose(name, KINDS, "kind of study")])
    return kind


def is_session(path: Path) -> bool:
    """Return whether a folder holds a session of candidates, which is no study."""
    from lastbit.store.ledger_tables import LEDGER

    return (path / LEDGER).is_file()


def open_study(path: str | Path, *, snapshot: bool = False) -> Study[Any]:
    """Open a study that was trained before, finished or not.

    Args:
        path: folder of the study.
        snapshot: read a copy of its database, so that nothing at all is made in the folder, however short.

    Raises:
        LastbitError: the folder holds no study, one of another format, or one of a kind that cannot be opened.
    """
    from lastbit.store import StudyFolder
    from lastbit.store.claim_folder import ClaimFolder

    if ClaimFolder.is_one(Path(path)):
        raise LastbitError(f"{path} holds measured claims and is no study: lastbit paper report {path} draws them")
    if is_session(Path(path)):
        raise LastbitError(f"{path} holds a session of candidates and is no study: gate_status({str(path)!r}) opens it")
    with StudyFolder.read(Path(path), snapshot=snapshot) as folder:
        kind = kind_named(str(folder.facts.get("kind")))
    return kind.study(Path(path), kind, snapshot=snapshot)
