"""`runs.sqlite`: the runs with their status, the metrics by step, the events. A run is visible once it is whole."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lastbit.core.status import Role, RunStatus
from lastbit.store.lock import open_file

__all__ = [
    "LandedCount",
    "RunRecord",
    "add_event",
    "add_run",
    "in_memory",
    "keep_checksum",
    "keep_count",
    "last_finished",
    "opened",
    "read_checksums",
    "read_counts",
    "read_runs",
]

# `metrics.value` has no declared type: SQLite would keep a REAL -0.0 as the integer 0. NaN has no place in it: NULL.
_TABLES = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
PRAGMA foreign_keys=ON;
CREATE TABLE IF NOT EXISTS runs (
    run TEXT PRIMARY KEY, cell INTEGER NOT NULL, role TEXT NOT NULL, twin INTEGER NOT NULL,
    label TEXT NOT NULL, status TEXT NOT NULL, attempts INTEGER NOT NULL, message TEXT NOT NULL,
    seconds REAL NOT NULL, finished_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS metrics (
    run TEXT NOT NULL REFERENCES runs(run), step INTEGER NOT NULL, name TEXT NOT NULL, value,
    PRIMARY KEY (run, step, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS selected (
    run TEXT PRIMARY KEY REFERENCES runs(run), step INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS landed (
    run TEXT PRIMARY KEY, weights INTEGER NOT NULL, first INTEGER, last INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    at TEXT NOT NULL, run TEXT, kind TEXT NOT NULL, message TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS files (
    name TEXT PRIMARY KEY, checksum TEXT NOT NULL
) WITHOUT ROWID;
"""

_LOOK = "SELECT 1 FROM runs LIMIT 1"

_PLACE = "cell, role, twin"
_FORMER_PLACE = """
    CASE WHEN run LIKE 'cell%' THEN perturbation ELSE seed END AS cell,
    CASE WHEN control THEN 'repeat' WHEN perturbation AND run NOT LIKE 'cell%' THEN 'twin' ELSE 'base' END AS role,
    CASE WHEN run LIKE 'cell%' THEN 0 ELSE perturbation END AS twin
"""
"""The same of format 1, whose columns were seed, perturbation and control; of a followed cell the second its number."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One finished run: which it was, how it ended, its metrics at the end of each epoch."""

    run: str
    """Name, unique in the study and usable as a file name."""
    cell: int
    """Which training of the study, counted from 0 in the order of `study.json`."""
    role: Role
    twin: int = 0
    """Number of the twin, from 1; 0 for the base run and its repeat."""
    label: str
    """What distinguishes the run, for tables: the perturbation in words."""
    status: RunStatus
    attempts: int = 1
    message: str = ""
    seconds: float = 0.0
    steps: Sequence[int] = field(default_factory=tuple)
    """The optimizer steps at which `metrics` were taken."""
    metrics: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Each metric's values, one per entry of `steps`. NaN where a run has none."""
    selected: int | None = None
    """The entry of `steps` that is the result; None for the last."""

    @property
    def final(self) -> dict[str, float]:
        """Each metric's value of the network that is the result; NaN where there is none."""
        at = -1 if self.selected is None else list(self.steps).index(self.selected)
        return {name: values[at] if values else math.nan for name, values in self.metrics.items()}


@dataclass(frozen=True, kw_only=True)
class LandedCount:
    """In how many of its weights a perturbed run differs from its base."""

    weights: int
    """How many it has."""
    first: int | None
    """After the first step; None where that was not seen."""
    last: int | None
    """Of the network that is the result."""

    @property
    def first_share(self) -> float | None:
        """Share of the weights that differ after the first step."""
        return None if self.first is None else self.first / self.weights

    @property
    def last_share(self) -> float | None:
        """Share of the weights of the result that differ."""
        return None if self.last is None else self.last / self.weights


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _opened(address: str, first: str) -> sqlite3.Connection:
    """Open a database by its URI and run `first`; close it again where that fails."""
    connection = sqlite3.connect(address, timeout=30, uri=True)
    try:
        connection.executescript(first)
    except BaseException:
        connection.close()
        raise
    return connection


def in_memory(path: Path) -> sqlite3.Connection:
    """Copy the file with its log (a writer that was killed leaves runs there) and read the copy.

    Nothing is made, written or locked beside the file, whoever is writing it. What the writer moves from its log into
    the file stays in the log until the log begins anew, with other numbers in its head: a copy between two looks at the
    same head has every page, in the file, in the log or in both.

    Raises:
        OSError: it cannot be read.
        LastbitError: what stands there is no file.
        sqlite3.DatabaseError: it is no database, or one that is written too fast to be copied.
    """
    log = path.with_name(f"{path.name}-wal")
    with tempfile.TemporaryDirectory(prefix="lastbit-") as folder:
        for _ in range(_COPIES):
            begun = _head(log)
            for file in (path, log):
                _copy(file, Path(folder, file.name))
            if _head(log) == begun:
                break
        with closing(_opened(Path(folder, path.name).as_uri(), _LOOK)) as source:
            connection = sqlite3.connect(":memory:")
            source.backup(connection)
    return connection


_COPIES = 20
"""How often a copy is begun anew because the log was: a writer begins it once in hundreds of runs."""


def _head(log: Path) -> bytes:
    """Return the head of a write-ahead log; nothing where there is none."""
    try:
        with os.fdopen(open_file(log, os.O_RDONLY), "rb") as file:
            return file.read(32)
    except FileNotFoundError:
        return b""


def _copy(source: Path, target: Path) -> None:
    """Copy a file; where there is none, leave none of a former copy."""
    target.unlink(missing_ok=True)
    try:
        descriptor = open_file(source, os.O_RDONLY)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "rb") as file, target.open("wb") as copy:
        shutil.copyfileobj(file, copy)


def opened(path: Path, *, write: bool, tables: str = _TABLES) -> sqlite3.Connection:
    """Open an SQLite file of the store.

    Args:
        path: the file.
        write: whether to write; it is then made where there is none.
        tables: what makes its tables, one named `runs` among them; those of a study by default.
    """
    address = path.absolute().as_uri()
    if write:
        return _opened(address, tables)
    try:
        return _opened(f"{address}?mode=ro", _LOOK)
    except sqlite3.OperationalError:
        # In a folder that nobody may write to, SQLite cannot make the index of the log that WAL needs.
        return in_memory(path)


def add_run(database: sqlite3.Connection, run: RunRecord, checksums: Mapping[str, str]) -> None:
    """Make a finished run visible, with its metrics and the checksums of its files, in one transaction."""
    rows = [
        (run.run, step, name, None if math.isnan(value) else float(value))
        for name, values in run.metrics.items()
        for step, value in zip(run.steps, values, strict=True)
    ]
    with database:
        for table in ("metrics", "selected"):
            database.execute(f"DELETE FROM {table} WHERE run = ?", (run.run,))
        database.execute("DELETE FROM runs WHERE run = ?", (run.run,))
        database.execute(
            "INSERT INTO runs VALUES "
            "(:run, :cell, :role, :twin, :label, :status, :attempts, :message, :seconds, :finished_at)",
            {**vars(run), "finished_at": _now()},
        )
        database.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?)", rows)
        if run.selected is not None:
            database.execute("INSERT INTO selected VALUES (?, ?)", (run.run, run.selected))
        _insert_checksums(database, checksums)


def add_event(database: sqlite3.Connection, kind: str, message: str, run: str | None) -> None:
    """Append to the log of what happened."""
    with database:
        database.execute("INSERT INTO events VALUES (?, ?, ?, ?)", (_now(), run, kind, message))


def keep_checksum(database: sqlite3.Connection, name: str, checksum: str) -> None:
    """Keep the checksum of a file in place of the one before."""
    with database:
        _insert_checksums(database, {name: checksum})


def _insert_checksums(database: sqlite3.Connection, checksums: Mapping[str, str]) -> None:
    database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?)", checksums.items())


def keep_count(database: sqlite3.Connection, run: str, count: LandedCount) -> None:
    """Keep in how many weights a run differs from its base."""
    with database:
        database.execute(
            "INSERT OR REPLACE INTO landed VALUES (:run, :weights, :first, :last)", {**vars(count), "run": run}
        )


def read_counts(database: sqlite3.Connection) -> dict[str, LandedCount]:
    """Return in how many weights the runs differ from their bases, by run."""
    if not _has_table(database, "landed"):
        return {}
    rows = database.execute("SELECT run, weights, first, last FROM landed")
    return {run: LandedCount(weights=weights, first=first, last=last) for run, weights, first, last in rows}


def read_checksums(database: sqlite3.Connection) -> dict[str, str]:
    """Return the checksums of the files, by name."""
    return _pairs(database, "files", "name, checksum")


def _pairs(database: sqlite3.Connection, table: str, columns: str) -> dict[str, Any]:
    """Return the two columns of a table; nothing of a study whose lastbit kept no such table."""
    return dict(database.execute(f"SELECT {columns} FROM {table}")) if _has_table(database, table) else {}


def _has_table(database: sqlite3.Connection, table: str) -> bool:
    found = database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,))
    return found.fetchone() is not None


def last_finished(database: sqlite3.Connection) -> datetime | None:
    """Return when the last run finished, in UTC; None where none has or what stands there is no time."""
    (last,) = database.execute("SELECT max(finished_at) FROM runs").fetchone()
    try:
        return None if last is None else datetime.fromisoformat(last).astimezone(UTC)
    except (TypeError, ValueError):
        return None


def read_runs(database: sqlite3.Connection) -> list[RunRecord]:
    """Return the finished runs by cell: the base run, its twins, the repeat last."""
    steps: dict[str, set[int]] = {}
    metrics: dict[str, dict[str, list[float]]] = {}
    query = "SELECT run, step, name, value FROM metrics ORDER BY run, name, step"
    for run, step, name, value in database.execute(query):
        metrics.setdefault(run, {}).setdefault(name, []).append(math.nan if value is None else value)
        steps.setdefault(run, set()).add(step)
    selected = _pairs(database, "selected", "run, step")
    columns = {name for _, name, *_ in database.execute("PRAGMA table_info(runs)")}
    cursor = database.cursor()
    cursor.row_factory = sqlite3.Row
    cursor.execute(
        f"SELECT run, {_PLACE if 'cell' in columns else _FORMER_PLACE}, label, status, attempts, message, seconds "
        "FROM runs ORDER BY cell, role = 'repeat', twin, run"
    )
    return [
        RunRecord(
            **{**row, "role": Role(row["role"]), "status": RunStatus(row["status"])},
            steps=tuple(sorted(steps.get(row["run"], ()))),
            metrics=metrics.get(row["run"], {}),
            selected=selected.get(row["run"]),
        )
        for row in cursor
    ]
