"""A run that ended well and whose metric is still to be read: kept, so that naming the metric does not cost it again.

`kept.json` beside what the run printed says what it was launched with, and when. It is there from the end of the run
until its metric is in the study.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lastbit.launch.command import CommandRun, ended_run
from lastbit.launch.settings import LaunchSettings

__all__ = ["KEPT", "KeptRun", "keep", "kept_run", "named_files", "release"]

KEPT = "kept.json"
"""Name of the file."""


@dataclass(frozen=True)
class KeptRun:
    """A run of a command, and when it was."""

    run: CommandRun
    began: float
    """Seconds since 1970."""
    ended: float


def keep(run: CommandRun, folder: Path, settings: LaunchSettings, cwd: Path, began: float, ended: float) -> KeptRun:
    """Keep a run that ended well in the folder that has its output and records."""
    told = {"launched": _launched(run.words, settings, cwd), "seconds": run.seconds, "began": began, "ended": ended}
    (folder / KEPT).write_text(json.dumps(told), encoding="utf-8")
    return KeptRun(run, began, ended)


def kept_run(words: Sequence[str], folder: Path, settings: LaunchSettings, cwd: Path) -> KeptRun | None:
    """Return the run that is kept in a folder, where the same would be run again.

    Args:
        words: the command.
        folder: with its output and records.
        settings: it would be launched with.
        cwd: where it would run.

    Returns:
        None where none is kept, it was launched otherwise, or a file that the command names was written since it ended.
    """
    try:
        told = json.loads((folder / KEPT).read_text("utf-8"))
        command = settings.words(list(words))
        if told["launched"] != _launched(command, settings, cwd):
            return None
        kept = KeptRun(ended_run(command, folder, seconds=told["seconds"]), told["began"], told["ended"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None if any(path.stat().st_mtime > kept.ended for path in named_files(command, cwd)) else kept


def release(folder: Path) -> None:
    """Keep the run no longer: its metric is in, or another takes its place."""
    (folder / KEPT).unlink(missing_ok=True)


def _launched(words: Sequence[str], settings: LaunchSettings, cwd: Path) -> dict[str, Any]:
    """Return what decides the bits of a run, as JSON gives it back."""
    told = {"words": list(words), "cwd": str(cwd), "threads": settings.threads, **settings.told}
    copied: dict[str, Any] = json.loads(json.dumps(told))
    return copied


def named_files(words: Sequence[str], cwd: Path) -> Iterator[Path]:
    """Yield the files that a command names, by themselves or behind `=`."""
    for word in words:
        for part in {word, word.rpartition("=")[2]}:
            with suppress(OSError, ValueError):
                if part and (path := cwd / part).is_file():
                    yield path
