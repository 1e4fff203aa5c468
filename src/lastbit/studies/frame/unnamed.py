"""A study of a command that stopped after its first run, for nobody had said which number is the result.

The run is kept. The same command with a metric goes on from it: in the folder that `--out` or `--resume` names, or in
the latest such study here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.launch.kept import KEPT
from lastbit.store import StudyFolder
from lastbit.studies.frame.folders import arms_of, check_kind, numbered_folders, refuse_changes
from lastbit.studies.frame.settings import CommandSettings

__all__ = ["go_on_from", "study_with_kept_run"]

_FREE = frozenset(CommandSettings.model_fields) - {"reseed", "deterministic"} | {"seeds", "perturbations", "perturb"}
"""Settings that have no part in the first run, which is unperturbed."""


def study_with_kept_run(
    facts: Mapping[str, Any], out: str | Path | None, resume: str | Path | None, threads: int | None
) -> Path | None:
    """Return the study whose kept run is the first of what is asked for; None where there is none.

    Args:
        facts: what `study.json` is to say.
        out: folder of a new study that was asked for.
        resume: folder to go on with.
        threads: of each operation, where they were asked for.

    Raises:
        LastbitError: `resume` names a study with a kept run, which is another command's.
    """
    if not any(one.get("command") for one in arms_of(facts["spec"])):
        return None
    named = resume or out
    for path in [Path(named)] if named is not None else numbered_folders(facts["kind"], facts["task"]["name"]):
        stored = _stored(path, facts["kind"])
        if stored is None or threads not in (None, stored.get("execution", {}).get("threads", threads)):
            continue
        try:
            refuse_changes(stored, facts, path, _FREE)
        except LastbitError:
            if resume is not None:
                raise
            continue
        return path
    return None


def _stored(path: Path, kind: str) -> dict[str, Any] | None:
    """Return what `study.json` says of a study that has a kept run and no other; None of any other folder."""
    if not any(path.glob(f"output/*/{KEPT}")):
        return None
    try:
        with StudyFolder.read(path) as folder:
            check_kind(folder, kind, kind)
            return None if folder.held or folder.runs() else folder.facts
    except LastbitError:
        return None


def go_on_from(path: Path, facts: Mapping[str, Any]) -> StudyFolder:
    """Open a study with a kept run, which becomes the one that is asked for.

    Raises:
        LastbitError: another process is working on it, or it cannot be written.
    """
    folder = StudyFolder.resume(path)
    try:
        folder.update_facts(**facts)
    except BaseException:
        folder.close()
        raise
    return folder
