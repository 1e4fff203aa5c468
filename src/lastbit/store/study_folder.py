"""A study on disk: created once, opened to continue by one process, opened to read by any."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import numpy as np

from lastbit.core.errors import LastbitError
from lastbit.store.database import RunRecord, add_event, add_run, opened, read_runs
from lastbit.store.layout import FORMER_SCHEMAS, SCHEMA, disk_errors, read_json, sweep, write_json
from lastbit.store.lock import is_held, locked
from lastbit.store.run_files import RunFiles

__all__ = ["StudyFolder"]


class StudyFolder:
    """One study folder. Make it with `create`, `resume` or `read`; close it, or use it as a context manager."""

    def __init__(self, path: Path, facts: dict[str, Any], database: Connection, held: ExitStack) -> None:
        self.path = path
        self.facts = facts
        """What `study.json` says: `kind`, `spec`, `command`, `environment`, `execution`, `schema`, `created`."""
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
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            cls._refuse_content(path)
            with ExitStack() as stack:
                stack.enter_context(locked(path))
                # Another process may have made and left a study here between the first look and the lock.
                cls._refuse_content(path)
                (path / "arrays").mkdir()
                (path / "checkpoints").mkdir()
                database = stack.enter_context(closing(opened(path / "runs.sqlite", write=True)))
                content = {"schema": SCHEMA, **facts}
                write_json(path / "study.json", content)
                return cls(path, content, database, stack.pop_all())

    @staticmethod
    def _refuse_content(path: Path) -> None:
        if any(item.name != "lock" for item in path.iterdir()):
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
            stack.enter_context(locked(path))
            database = stack.enter_context(closing(opened(path / "runs.sqlite", write=True)))
            for name in ("", "arrays", "checkpoints"):
                sweep(path / name)
            return cls(path, facts, database, stack.pop_all())

    @classmethod
    def read(cls, path: Path) -> StudyFolder:
        """Open a study to read it, even while another process is working on it.

        Raises:
            LastbitError: no study, another schema version, or a damaged database.
        """
        facts = cls._facts(path)
        with disk_errors(path), ExitStack() as stack:
            database = stack.enter_context(closing(opened(path / "runs.sqlite", write=False)))
            return cls(path, facts, database, stack.pop_all())

    @staticmethod
    def _facts(path: Path) -> dict[str, Any]:
        if not path.is_dir():
            raise LastbitError(f"there is no study at {path}: give the folder that --out named")
        facts = read_json(path / "study.json")
        schema = facts.get("schema")
        if schema not in (SCHEMA, *FORMER_SCHEMAS):
            raise LastbitError(
                f"{path} was made with study format {schema!r}, this lastbit reads format {SCHEMA}: "
                "use the lastbit that made it, or start a new study with --out"
            )
        if not (path / "runs.sqlite").exists():
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

    def add(self, run: RunRecord) -> None:
        """Make a finished run visible. Its arrays must be in place; its checkpoint is dropped.

        What the study concluded without it is withdrawn.
        """
        with disk_errors(self.path):
            (self.path / "result.json").unlink(missing_ok=True)
            add_run(self._database, run)
        self.files(run.run).drop_checkpoint()

    def runs(self) -> list[RunRecord]:
        """Return the finished runs by cell: the base run, its twins, the repeat last."""
        with disk_errors(self.path):
            return read_runs(self._database)

    def arrays(self, run: str) -> dict[str, np.ndarray[Any, Any]]:
        """Return the arrays of a finished run.

        Raises:
            LastbitError: there are none, or the file is damaged.
        """
        return self.files(run).load_arrays()

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
        with disk_errors(self.path):
            write_json(self.path / "result.json", result)

    def result(self) -> dict[str, Any] | None:
        """Return what the study concluded, or None where it has not yet."""
        path = self.path / "result.json"
        return read_json(path) if path.exists() else None

    def close(self) -> None:
        """Close the database (which folds its write-ahead log into it) and release the folder."""
        self._held.close()

    def __enter__(self) -> StudyFolder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
