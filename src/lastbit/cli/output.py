"""Files that a command writes besides its study, checked before anything is trained."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lastbit.studies import LastbitError

__all__ = ["announce_paths", "check_writable", "write_json"]


def check_writable(target: Path) -> None:
    """Refuse a file that could not be written at the end.

    Raises:
        LastbitError: the folder is missing or cannot be written, or the name is a folder's.
    """
    folder = target.absolute().parent
    if target.is_dir():
        raise LastbitError(f"{target} is a folder: name a file in it")
    if not folder.is_dir():
        raise LastbitError(f"cannot write {target}: the folder {folder} does not exist; make it, or name another file")
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
