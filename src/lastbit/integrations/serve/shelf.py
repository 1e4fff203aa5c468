"""The studies of a folder, as a list shows them: little is read of each, and again only where it has changed."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from lastbit.core.errors import LastbitError
from lastbit.core.exit_codes import ExitCode
from lastbit.integrations.serve.headline import headline
from lastbit.report.formatting import capitalised, size
from lastbit.store.layout import opened_file, read_json
from lastbit.store.lock import is_held
from lastbit.studies.frame.result import exit_code_of
from lastbit.studies.kinds import open_study

if TYPE_CHECKING:
    from lastbit.studies.frame.study import Study

__all__ = ["Entry", "Shelf", "Stamp", "cut", "in_one_line", "is_at_work", "opened_study", "stamp_of"]

Stamp: TypeAlias = tuple[tuple[str, int, int, int], ...]
"""The files of a study that are there, each with its inode, size and time of change: equal while nothing changed."""

_FILES = {"study.json": 32 << 20, "result.json": 64 << 20, "runs.sqlite": 2 << 30, "runs.sqlite-wal": 2 << 30}
"""What is read of a study besides its arrays, with the most bytes that are read of it."""

_FOLDERS = ("arrays", "checkpoints", "weights", "output")

_FRESH = 0.5
"""Seconds for which the list is not looked at anew, however many ask for it."""

State: TypeAlias = Literal["running", "stopped", "finished", "damaged"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One study in the list."""

    name: str
    """Of its folder."""
    stamp: Stamp = ()
    state: State
    changed: float = 0.0
    """When something of it last changed, in seconds since the epoch."""
    kind: str = ""
    program: str = ""
    verdict: str
    """The verdict, or in one line why there is none."""
    verdict_kind: str = ""
    tone: str = ""
    number: str = ""
    """The number that its kind is asked for, with its name."""

    def matches(self, words: list[str]) -> bool:
        """Tell whether all words, in lower case, occur in what the list shows of it."""
        said = f"{self.name} {self.kind} {self.program} {self.state} {self.verdict} {self.verdict_kind} {self.number}"
        text = f"{said} {self.verdict_kind.replace('_', ' ')}".lower()
        return all(word in text for word in words)


class Shelf:
    """The studies that lie directly in a folder.

    Args:
        folder: of the studies; nothing is ever written there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._lock = Lock()
        self._known: dict[str, Entry] = {}
        self._looked = -_FRESH

    def entries(self) -> list[Entry]:
        """Return every study, the one that changed last first."""
        with self._lock:
            if time.monotonic() - self._looked >= _FRESH:
                self._known = {name: self._entry(name) for name in self._names()}
                self._looked = time.monotonic()
            return sorted(self._known.values(), key=lambda entry: (-entry.changed, entry.name))

    def path(self, name: str) -> Path | None:
        """Return the folder of a study by its name in the list; None where there is none of that name."""
        return self.folder / name if name in self._names() else None

    def _names(self) -> list[str]:
        try:
            with os.scandir(self.folder) as found:
                # A link to a folder elsewhere is not followed: its studies are not of this folder.
                folders = [one.name for one in found if one.is_dir(follow_symlinks=False) and _is_text(one.name)]
        except OSError:
            return []
        return [name for name in folders if any(_may_be(self.folder / name / one) for one in _MARKS)]

    def _entry(self, name: str) -> Entry:
        path, known = self.folder / name, self._known.get(name)
        stamp: Stamp = ()
        try:
            stamp = stamp_of(path)
            held = is_at_work(path)
            if known is not None and known.stamp == stamp and (known.state == "running") == held:
                return known
            return _read(path, stamp, held)
        except Exception as error:  # whatever stands in a folder from elsewhere, the others are shown
            changed = _changed(path, stamp)
            return Entry(
                name=name, stamp=stamp, state="damaged", changed=changed, verdict=in_one_line(error), tone="failure"
            )


_MARKS = ("study.json", "runs.sqlite")


def _may_be(path: Path) -> bool:
    """Tell whether a file is there, or may be for all that a folder that nobody may look into tells."""
    try:
        os.lstat(path)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _is_text(name: str) -> bool:
    """Tell whether a name has characters for all its bytes, as an address needs."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def stamp_of(path: Path) -> Stamp:
    """Look at the files of a study without opening one.

    Raises:
        LastbitError: one is a link, no file or too large: it is nothing that lastbit left there.
    """
    found = []
    for name, most in _FILES.items():
        try:
            one = os.lstat(path / name)
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(one.st_mode):
            raise LastbitError(f"{name} is a link, a pipe or a folder where a file belongs")
        if one.st_size > most:
            raise LastbitError(f"{name} has {size(one.st_size)}, and no study has more than {size(most)}")
        found.append((name, one.st_ino, one.st_size, one.st_mtime_ns))
    for name in _FOLDERS:
        if (path / name).is_symlink():
            raise LastbitError(f"{name} is a link to another place")
    return tuple(found)


def opened_study(path: Path) -> Study[Any]:
    """Open a copy of a study, of which no array or weight is a link.

    Raises:
        LastbitError: one is, or it cannot be opened.
    """
    for folder in (path / name for name in ("arrays", "checkpoints", "weights")):
        if folder.is_dir():
            with os.scandir(folder) as found:
                for one in found:
                    if one.is_symlink():
                        raise LastbitError(f"{folder.name}/{one.name} is a link to another place")
    return open_study(path, snapshot=True)


def is_at_work(path: Path) -> bool:
    """Tell whether a process is working on a study."""
    return not (path / "lock").is_symlink() and is_held(path)


def _changed(path: Path, stamp: Stamp) -> float:
    try:
        return max((one[3] for one in stamp), default=path.stat().st_mtime_ns) / 1e9
    except OSError:
        return 0.0


def _read(path: Path, stamp: Stamp, held: bool) -> Entry:
    facts = read_json(path / "study.json")
    names = {one[0] for one in stamp}
    _check_database(path, names)
    result: Mapping[str, Any] = read_json(path / "result.json") if "result.json" in names else {}
    if not result:
        # Concluded from the runs that are in, as its page is.
        result = opened_study(path).to_json()
    kind = str(result.get("kind") or facts["kind"])
    task = facts.get("task")
    word = str(result.get("verdict_kind", ""))
    # A trace of a former lastbit called its sentence by that name.
    verdict = str(result.get("sentence") or result.get("verdict") or "")
    finished = bool(result.get("finished"))
    code = exit_code_of(kind, word)
    failed = code in (ExitCode.NOT_REPRODUCIBLE, ExitCode.ALL_DIVERGED)
    return Entry(
        name=path.name,
        stamp=stamp,
        state="running" if held else "finished" if finished else "stopped",
        changed=_changed(path, stamp),
        kind=cut(kind),
        program=cut(str(task.get("name", ""))) if isinstance(task, Mapping) else "",
        verdict=capitalised(cut(verdict)),
        verdict_kind=cut(word),
        tone="failure" if failed else "" if finished else "attention",
        number=headline(kind, result),
    )


def _check_database(path: Path, names: set[str]) -> None:
    if "runs.sqlite" not in names:
        raise LastbitError("it has no runs.sqlite: the study is damaged")
    if "runs.sqlite-wal" not in names:
        try:
            with opened_file(path / "runs.sqlite") as file:
                beginning = file.read(16)
        except OSError as error:
            raise LastbitError(f"cannot read {path / 'runs.sqlite'}: {error.strerror or error}") from None
        if beginning != b"SQLite format 3\0":
            raise LastbitError("its runs.sqlite is no database: the study is damaged")


def in_one_line(error: Exception) -> str:
    """Return why something cannot be shown, in one line of bounded length."""
    said = str(error) if isinstance(error, LastbitError) else f"{type(error).__name__}: {error}"
    return cut(" ".join(said.split()))


def cut(text: str, most: int = 400) -> str:
    """Return a text of at most so many characters, of which the last tells that there were more."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
