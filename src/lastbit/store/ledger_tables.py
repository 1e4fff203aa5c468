"""`gate.sqlite`: the tables of a session of candidates, how they are opened, and what is said where that fails."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lastbit.core.errors import LastbitError
from lastbit.store.database import opened
from lastbit.store.layout import StorageError
from lastbit.store.lock import open_file

__all__ = ["LEDGER", "LEDGER_SCHEMA", "OWNERS", "damaged", "ledger_errors", "opened_ledger"]

LEDGER, OWNERS = "gate.sqlite", "gate.owners"
"""Names in the folder of a session: its ledger, and where each process that works on it holds a lock of its own."""

LEDGER_SCHEMA = 1
"""Version of the tables. A ledger of another version is refused, never guessed at."""

# `value` has no declared type: SQLite would keep a REAL -0.0 as the integer 0.
_TABLES = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
PRAGMA foreign_keys=ON;
CREATE TABLE IF NOT EXISTS session (
    one INTEGER PRIMARY KEY CHECK (one = 1), schema INTEGER NOT NULL, fingerprint TEXT NOT NULL,
    label TEXT NOT NULL, error_rate REAL NOT NULL, facts TEXT NOT NULL, begun_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS declarations (
    declaration INTEGER PRIMARY KEY, candidates INTEGER NOT NULL CHECK (candidates > 0), at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS owners (
    owner TEXT PRIMARY KEY, process INTEGER NOT NULL, since TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS candidates (
    candidate INTEGER PRIMARY KEY, key TEXT NOT NULL, label TEXT NOT NULL, facts TEXT NOT NULL,
    keeps INTEGER NOT NULL, declared INTEGER NOT NULL, counted INTEGER NOT NULL CHECK (counted IN (0, 1)),
    owner TEXT REFERENCES owners(owner), claimed_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS epochs (
    epoch INTEGER PRIMARY KEY, candidate INTEGER UNIQUE REFERENCES candidates(candidate), since TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS runs (
    run INTEGER PRIMARY KEY, epoch INTEGER REFERENCES epochs(epoch),
    candidate INTEGER REFERENCES candidates(candidate), number INTEGER NOT NULL, seed INTEGER NOT NULL,
    state TEXT NOT NULL, owner TEXT REFERENCES owners(owner), attempts INTEGER NOT NULL, value, digest TEXT,
    message TEXT NOT NULL, seconds REAL NOT NULL, finished_at TEXT,
    CHECK ((epoch IS NULL) + (candidate IS NULL) = 1), CHECK ((state = 'running') = (owner IS NOT NULL)),
    CHECK ((state IN ('ok', 'diverging')) = (value IS NOT NULL)), UNIQUE (epoch, number), UNIQUE (candidate, number)
);
CREATE TABLE IF NOT EXISTS decisions (
    decision INTEGER PRIMARY KEY, candidate INTEGER NOT NULL REFERENCES candidates(candidate),
    epoch INTEGER NOT NULL REFERENCES epochs(epoch), choice TEXT NOT NULL, reasons TEXT NOT NULL, at TEXT NOT NULL
);
"""

_PATIENCE, _PAUSE = 30.0, 0.05
"""Seconds for which a ledger that others are just making is tried, and between two tries: SQLite does not wait for its
change to a write-ahead log, as it does for every transaction."""


def opened_ledger(folder: Path, *, write: bool) -> sqlite3.Connection:
    """Open the ledger of a folder; to write it is made where there is none, without a session in it.

    Raises:
        LastbitError: there is none to read, or what stands in its place is no ledger, a link or damaged.
    """
    path = folder / LEDGER
    _check_place(folder, write)
    with ledger_errors(folder):
        database = _when_free(path) if write else opened(path, write=False, tables=_TABLES)
        try:
            found = [row[0] for row in database.execute("PRAGMA quick_check(1)")]
        except BaseException:
            database.close()
            raise
    if found != ["ok"]:
        database.close()
        raise damaged(folder, str(found[0]).splitlines()[-1])
    return database


def _check_place(folder: Path, write: bool) -> None:
    path = folder / LEDGER
    for name in (LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm", OWNERS) if write else ():
        if (folder / name).is_symlink():
            raise LastbitError(
                f"{folder / name} is a link to another place, where lastbit would write: put a copy there"
            )
    with ledger_errors(folder):
        try:
            os.close(open_file(path, os.O_RDONLY))
        except FileNotFoundError:
            if not write:
                raise LastbitError(f"{folder} has no ledger ({LEDGER}): no candidate was compared there yet") from None
            return
        if not write:
            return
        # Another program's database shall not get tables of ours; one whose maker was killed has none yet.
        with _opened_to_look(path) as database:
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if names and not {"session", "declarations"} & names:
        raise LastbitError(f"{path} is no ledger of lastbit: choose another folder")


@contextmanager
def _opened_to_look(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database to look at its tables, and close it again."""
    database = sqlite3.connect(path.absolute().as_uri(), timeout=_PATIENCE, uri=True)
    try:
        yield database
    finally:
        database.close()


def _when_free(path: Path) -> sqlite3.Connection:
    last = time.monotonic() + _PATIENCE
    while True:
        try:
            return opened(path, write=True, tables=_TABLES)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > last:
                raise
        time.sleep(_PAUSE)


def damaged(folder: Path, reason: str) -> LastbitError:
    """Return what is said of a ledger that cannot be read."""
    return LastbitError(
        f"the ledger {folder / LEDGER} is damaged ({reason}): take it from a backup, or begin a new session in another "
        "folder"
    )


@contextmanager
def ledger_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the file system and of SQLite into one line that says what is safe and what to do.

    Raises:
        StorageError: on a full disk, a read-only place, a missing permission or a ledger that stays locked.
        LastbitError: the ledger is no longer a database, or breaks the rules of its tables.
    """
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        again = "then run the same command again; no finished run is lost"
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) if isinstance(error, OSError) else "full" in str(error)
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        if full:
            message = f"the disk that holds {folder} is full: free some space, {again}"
        elif "locked" in reason:
            message = f"the ledger in {folder} is held by another process: wait for it, {again}"
        else:
            message = f"cannot use the ledger in {folder} ({reason}): make the folder writable, {again}"
        raise StorageError(message) from error
    except sqlite3.DatabaseError as error:
        raise damaged(folder, str(error)) from error
