"""A study on disk: created once, opened to continue by one process, opened to read by any."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import numpy as np

from lastbit.core.errors import LastbitError
from lastbit.store.database import (
    LandedCount,
    RunRecord,
    add_event,
    add_run,
    in_memory,
    keep_checksum,
    keep_count,
    last_finished,
    opened,
    read_checksums,
    read_counts,
    read_runs,
)
from lastbit.store.layout import (
    FORMER_SCHEMAS,
    SCHEMA,
    DamagedFileError,
    checksum,
    disk_errors,
    read_json,
    sweep,
    write_json,
)
from lastbit.store.lock import LOCKS, is_held, locked
from lastbit.store.run_files import RunFiles

__all__ = ["StudyFolder", "is_free"]


class StudyFolder:
    """One study folder. Make it with `create`, `resume` or `read`; close it, or use it as a context manager."""

    def __init__(self, path: Path, facts: dict[str, Any], database: Connection, held: ExitStack) -> None:
        self.path = path
        self.facts = facts
        """What `study.json` says: `kind`, `spec`, `command`, `environment`, `execution`, `schema`."""
        self.damaged: dict[str, str] = {}
        """The runs that are in but cannot be read, with the reason: `runs` leaves them out."""
        self._database = database
        self._held = held

    @classmethod
    def create(cls, path: Path, facts: Mapping[str, Any]) -> StudyFolder:
        """Make a study in a new or empty folder.

        Raises:
            LastbitError: the folder has content, cannot be made, or another process is working on it.
        """
        if path.exists() and not path.is_dir():
            raise LastbitError(f"{path} is a file: choose another folder with --out")
        with disk_errors(path, begun=False):
            there = path.exists()
            path.mkdir(parents=True, exist_ok=True)
            cls._refuse_content(path)
            with ExitStack() as stack:
                stack.enter_context(locked(path))
                # Another process may have made and left a study here between the first look and the lock.
                cls._refuse_content(path)
                shutil.rmtree(path / _OUTPUT, ignore_errors=True)
                undo = stack.enter_context(ExitStack())
                undo.callback(_clear, path, folder_too=not there)
                (path / "arrays").mkdir()
                (path / "checkpoints").mkdir()
                database = stack.enter_context(closing(opened(path / "runs.sqlite", write=True)))
                content = {"schema": SCHEMA, **facts}
                write_json(path / "study.json", content)
                undo.pop_all()
                return cls(path, content, database, stack.pop_all())

    @staticmethod
    def _refuse_content(path: Path) -> None:
        if not is_free(path):
            hint = f"continue it with --resume {path}" if (path / "study.json").exists() else "it is not a study"
            raise LastbitError(f"{path} is not empty ({hint}): choose another folder with --out")

    @classmethod
    def resume(cls, path: Path) -> StudyFolder:
        """Open a study to continue it.

        Raises:
            LastbitError: no study, another schema version, a damaged database, or another process is working on it.
        """
        facts = cls._facts(path)
        if facts["schema"] != SCHEMA:
            raise LastbitError(
                f"{path} was begun with study format {facts['schema']}, which this lastbit only reads: finish it with "
                "the lastbit that began it, or start a new study with --out"
            )
        with disk_errors(path), ExitStack() as stack:
            _refuse_links(path)
            stack.enter_context(locked(path))
            database = stack.enter_context(closing(opened(path / "runs.sqlite", write=True)))
            for name in ("", "arrays", "checkpoints", "weights"):
                sweep(path / name)
            return cls(path, facts, database, stack.pop_all())

    @classmethod
    def read(cls, path: Path, *, snapshot: bool = False) -> StudyFolder:
        """Open a study to read it, even while another process is working on it.

        Args:
            path: folder of the study.
            snapshot: read a copy of its database as it is now: SQLite makes its files beside a database that it opens,
                and shares locks with whoever writes it; a copy leaves the folder as it is.

        Raises:
            LastbitError: no study, another schema version, or a damaged database.
        """
        facts = cls._facts(path)
        database_of: Callable[[Path], Connection] = in_memory if snapshot else partial(opened, write=False)
        with disk_errors(path, reading=True), ExitStack() as stack:
            database = stack.enter_context(closing(database_of(path / "runs.sqlite")))
            return cls(path, facts, database, stack.pop_all())

    @staticmethod
    def _facts(path: Path) -> dict[str, Any]:
        if path.is_file():
            raise LastbitError(f"{path} is a file, and a study is a folder: give the one that --out named")
        if not path.is_dir():
            raise LastbitError(
                f"there is no study at {path}: give the folder that --out named; one "
                "that was stopped before its first run began is not there, so run its command again"
            )
        facts = read_json(path / "study.json")
        schema = facts.get("schema")
        if schema not in (SCHEMA, *FORMER_SCHEMAS):
            raise LastbitError(
                f"{path} was made with study format {schema!r}, this lastbit reads format {SCHEMA}: "
                "use the lastbit that made it, or start a new study with --out"
            )
        if not (path / "runs.sqlite").is_file():
            raise LastbitError(f"{path} has no runs.sqlite: the study is damaged; start a new one with --out")
        return facts

    @property
    def held(self) -> bool:
        """Whether a process is working on the study, this one or another."""
        return is_held(self.path)

    def update_facts(self, **facts: Any) -> None:
        """Add to `study.json`, atomically."""
        content = {**self.facts, **facts}
        with disk_errors(self.path):
            write_json(self.path / "study.json", content)
        self.facts = content

    def files(self, run: str) -> RunFiles:
        """Return the files of one run."""
        return RunFiles(self.path, run)

    def add(self, run: RunRecord, files: Iterable[str] | None = None) -> None:
        """Make a finished run visible. Its arrays must be in place; its checkpoint is dropped.

        What the study concluded without it is withdrawn.

        Args:
            run: the run.
            files: the names of the arrays whose checksums are kept with it; those of its own name by default.
        """
        arrays = {name: self.files(name).arrays_path for name in (files if files is not None else [run.run])}
        with disk_errors(self.path):
            (self.path / "result.json").unlink(missing_ok=True)
            checksums = {f"arrays/{name}": checksum(path) for name, path in arrays.items() if path.exists()}
            add_run(self._database, run, checksums)
        self.damaged.pop(run.run, None)
        self.files(run.run).drop_checkpoint()

    @property
    def last_finished(self) -> datetime | None:
        """When its last run finished, in UTC; None where none has."""
        with disk_errors(self.path):
            return last_finished(self._database)

    def runs(self, *, damaged: bool = False) -> list[RunRecord]:
        """Return the finished runs by cell: the base run, its twins, the repeat last; those `damaged` only if asked."""
        with disk_errors(self.path):
            return [run for run in read_runs(self._database) if damaged or run.run not in self.damaged]

    def arrays(self, run: str) -> dict[str, np.ndarray[Any, Any]]:
        """Return the arrays of a finished run.

        Raises:
            DamagedFileError: there are none, or the file is not the one that was written.
        """
        return self.files(run).load_arrays(self._checksum(f"arrays/{run}"))

    def keep_count(self, run: str, count: LandedCount) -> None:
        """Keep in how many of its weights a perturbed run differs from its base."""
        with disk_errors(self.path):
            keep_count(self._database, run, count)

    def counts(self) -> dict[str, LandedCount]:
        """Return in how many weights the perturbed runs differ from their bases, by run, where that was counted."""
        with disk_errors(self.path):
            return read_counts(self._database)

    def why_unreadable(self, run: str) -> str:
        """Return why the arrays of a finished run cannot be read; "" where they can."""
        known = self._checksum(f"arrays/{run}")
        try:
            if known is None:
                self.files(run).load_arrays()
            else:
                self.files(run).check(known)
        except DamagedFileError as error:
            return str(error)
        return ""

    def has_checksum(self, run: str) -> bool:
        """Tell whether a checksum of the run's arrays is kept."""
        return self._checksum(f"arrays/{run}") is not None

    def _checksum(self, name: str) -> str | None:
        with disk_errors(self.path):
            return read_checksums(self._database).get(name)

    def event(self, kind: str, message: str, run: str | None = None) -> None:
        """Append to the log of what happened."""
        with disk_errors(self.path):
            add_event(self._database, kind, message, run)

    def events(self) -> list[tuple[str, str | None, str, str]]:
        """Return the log: time, run, kind, message."""
        with disk_errors(self.path):
            return list(self._database.execute("SELECT at, run, kind, message FROM events ORDER BY rowid"))

    def save_result(self, result: Mapping[str, Any]) -> None:
        """Keep what the study concluded."""
        path = self.path / "result.json"
        with disk_errors(self.path):
            write_json(path, result)
            keep_checksum(self._database, path.name, checksum(path))

    def result(self) -> dict[str, Any] | None:
        """Return what the study concluded, or None where it has not yet, or the file is not the one that was written.

        The runs have all that is needed to conclude again.
        """
        path = self.path / "result.json"
        if not path.exists():
            return None
        known = self._checksum(path.name)
        with disk_errors(self.path):
            whole = known is None or checksum(path) == known
        return read_json(path) if whole else None

    def withdraw(self, *, with_runs: bool = False) -> bool:
        """Close it and remove it but for what its runs printed, if it holds no run and no part of one.

        Args:
            with_runs: remove it whatever it holds, what was printed too, for its runs say nothing.

        Returns:
            Whether it did; a study can then begin in the folder as in an empty one.
        """
        begun = any(item for name in ("arrays", "checkpoints") for item in (self.path / name).iterdir())
        if not with_runs and (begun or self.runs(damaged=True)):
            return False
        self.close()
        if with_runs:
            shutil.rmtree(self.path / "output", ignore_errors=True)
        _clear(self.path, folder_too=True)
        return True

    def close(self) -> None:
        """Close the database (which folds its write-ahead log into it) and release the folder."""
        self._held.close()

    def __enter__(self) -> StudyFolder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def is_free(path: Path) -> bool:
    """Tell whether a study can begin in a folder: it is empty, or has what a run of a withdrawn study printed."""
    items = {item.name for item in path.iterdir()} - set(LOCKS)
    return items <= {_OUTPUT} and all(item.name in _PRINTED for item in path.glob(f"{_OUTPUT}/*/*"))


_OUTPUT, _PRINTED = "output", ("stdout.txt", "stderr.txt", "records")
"""Where the runs of a command keep what they print, and what that is."""


def _clear(path: Path, *, folder_too: bool) -> None:
    """Remove a study that could not be made, for the same command to do once the reason is gone."""
    for name in ("arrays", "checkpoints", "weights"):
        shutil.rmtree(path / name, ignore_errors=True)
    for name in (*_DATABASE, "study.json", *LOCKS):
        with suppress(OSError):
            (path / name).unlink()
    if folder_too:
        with suppress(OSError):
            path.rmdir()


_DATABASE = ("runs.sqlite", "runs.sqlite-wal", "runs.sqlite-shm", "runs.sqlite-journal")


def _refuse_links(path: Path) -> None:
    """Refuse to write through a link, which may stand in a study from elsewhere for any file of the user's."""
    for name in ("arrays", "checkpoints", "weights", *_DATABASE):
        if (path / name).is_symlink():
            raise LastbitError(f"{path / name} is a link to another place, where lastbit would write: put a copy there")
