"""Files that a command writes besides its study, checked before anything is trained."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lastbit.core.errors import LastbitError

if TYPE_CHECKING:
    from lastbit.studies.frame.study import Study
__all__ = ["announce_paths", "check_writable", "present", "write_json"]


def present(
    study: Study[Any],
    *,
    report: Path | None = None,
    json: Path | None = None,
    export: Path | None = None,
    quiet: bool = False,
) -> None:
    """Print what a study says, draw its report, write the other files that were asked for, and say where they lie.

    Args:
        study: the study.
        report: its report; by default where `Study.report` puts it.
        json: file for the whole result.
        export: file for the runs as a table.
        quiet: print the verdict alone.
    """
    if quiet:
        print(study.verdict)
    else:
        study.print_summary()
    paths = {"report": study.report(report)}
    if json is not None:
        paths["JSON"] = write_json(json, study.to_json())
    if export is not None:
        paths["table"] = study.export(export)
    if not quiet:
        announce_paths(paths)


def check_writable(*targets: Path | None) -> None:
    """Refuse files that could not be written at the end; None stands for one that was not asked for.

    Raises:
        LastbitError: a folder is missing or cannot be written, or the name is a folder's.
    """
    for target in targets:
        if target is None:
            continue
        folder = target.absolute().parent
        if target.is_dir():
            raise LastbitError(f"{target} is a folder: name a file in it")
        if not folder.is_dir():
            raise LastbitError(
                f"cannot write {target}: the folder {folder} does not exist; make it, or name another file"
            )
        if not os.access(target if target.exists() else folder, os.W_OK):
            raise LastbitError(f"cannot write {target}: no permission; name another file")


def write_json(target: Path, result: Mapping[str, Any]) -> Path:
    """Write a result as JSON.

    Raises:
        LastbitError: the file cannot be written.
    """
    try:
        target.write_text(json.dumps(result, indent=2, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise LastbitError(f"cannot write {target} ({error.strerror}): name another file with --json") from None
    return target


def announce_paths(paths: Mapping[str, Path]) -> None:
    """Say where things lie, one line each."""
    width = max(len(name) for name in paths)
    for name, path in paths.items():
        print(f"{name:<{width}}  {path}")
