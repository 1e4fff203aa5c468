"""The names of things in a study folder, and writes that either happen or do not.

```
DIR/study.json            spec, command, environment, execution, schema version
DIR/runs.sqlite           runs, metrics, events (WAL)
DIR/result.json           what the study concluded, once it has
DIR/arrays/RUN.npz        arrays of a finished run (allow_pickle=False)
DIR/checkpoints/RUN.safetensors   where an unfinished run stands; its facts are JSON in the header
DIR/checkpoints/RUN.first, .final   weights that other runs are still to be compared with (safetensors)
DIR/weights/RUN.safetensors   final weights and buffers by name, in their own formats, where they are kept
DIR/lock                  held by the process that works on the folder
```

The database keeps the BLAKE2 checksum of `result.json` and of every file of arrays; a checkpoint, which workers replace
without the database, holds its own. The SHA-256 digests of weights are in the arrays of their run.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.store.lock import NoLocksError, open_file, take

__all__ = [
    "FORMER_SCHEMAS",
    "SCHEMA",
    "DamagedFileError",
    "StorageError",
    "checksum",
    "disk_errors",
    "opened_file",
    "read_json",
    "sweep",
    "write_atomically",
    "write_json",
]

SCHEMA = 2
"""Version of everything above. A study of an unknown version is refused, never guessed at."""

FORMER_SCHEMAS = (1,)
"""Versions that are still read, but not continued: 1 lent the columns seed, perturbation and control to every kind."""


_UNFINISHED = ".lastbit-"
"""Prefix of the names of files that are still being written."""

_LONGEST_WRITE = 3600.0
"""Seconds after which a file that is still unfinished counts as left by a writer that was killed."""


class StorageError(LastbitError):
    """The folder cannot be written: the disk is full or the place is read-only. Finished runs are safe."""


class DamagedFileError(LastbitError):
    """A file of a run is missing, damaged or not lastbit's: the run cannot be read. The others can."""


@contextmanager
def disk_errors(folder: Path, *, begun: bool = True, reading: bool = False) -> Iterator[None]:
    """Turn errors of the file system into one line that says what is safe and what to do.

    Args:
        folder: of the study.
        begun: whether there is a study already, which can be gone on with.
        reading: whether nothing is written, so that what is missing is the permission to read.

    Raises:
        StorageError: on a full disk, a read-only place or a missing permission.
        LastbitError: the database is no longer a database.
    """
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) if isinstance(error, OSError) else "full" in str(error)
        message = f"cannot use the database in {folder} ({error}): choose another folder"
        if reading and not full:
            why = error.strerror or error if isinstance(error, OSError) else error
            message = f"cannot read the runs in {folder} ({why}): make its files readable, or read a copy of it"
        elif full:
            then = f"continue with --resume {folder}" if begun else "run the same command again; nothing was left there"
            message = f"the disk that holds {folder} is full: free some space, then {then}"
        elif isinstance(error, OSError):
            instead = "choose another folder with --out"
            if begun:
                instead = "make it writable, or go on with a copy in another folder"
            message = f"cannot write to {folder} ({error.strerror or error}): {instead}"
        raise StorageError(message) from error
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:  # a broken rule of a table is not damage
            raise
        raise LastbitError(
            f"the database in {folder} is damaged ({error}): take it from a backup, or start a new study with --out"
        ) from error


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to the disk and rename it to `path`.

    A reader sees either the old content or the new, never part of it, even after a power cut.
    """
    handle, name = tempfile.mkstemp(prefix=f"{_UNFINISHED}{path.stem}-", suffix=path.suffix, dir=path.parent)
    temporary = Path(name)
    try:
        try:
            with suppress(NoLocksError):
                take(handle)  # whoever sweeps leaves alone what is still being written
            write(temporary)
            temporary.chmod(0o644)
        finally:
            os.close(handle)
        with temporary.open("rb+") as file:  # Windows flushes nothing that is only read
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_names(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _flush_names(folder: Path) -> None:
    """Flush the names in `folder` to the disk: a run that the database shows must find its renamed arrays there."""
    if os.name == "nt":  # a folder has no descriptor there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot, and need not
            raise
    finally:
        os.close(descriptor)


def sweep(folder: Path, stem: str = "") -> None:
    """Remove what killed writers of `write_atomically` left unfinished in `folder`.

    Args:
        folder: where they wrote.
        stem: of the files that they were to write; of all by default.
    """
    for left in folder.glob(f"{_UNFINISHED}{glob.escape(stem)}*"):
        with suppress(OSError, LastbitError):
            descriptor = open_file(left, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
            try:
                # Where nothing can be locked, its age says whether somebody still writes it.
                free = take(descriptor)
            except NoLocksError:
                free = time.time() - os.fstat(descriptor).st_mtime > _LONGEST_WRITE
            finally:
                os.close(descriptor)
            if free:
                left.unlink()


def opened_file(path: Path) -> BufferedReader:
    """Open a file of a study to read it; see `lock.open_file` for what is refused.

    Raises:
        OSError: it cannot be opened.
        LastbitError: it is no file.
    """
    return os.fdopen(open_file(path, os.O_RDONLY), "rb")


def checksum(path: Path) -> str:
    """Return the BLAKE2 digest of a file.

    Raises:
        OSError: it cannot be read.
        LastbitError: it is no file.
    """
    with opened_file(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write strict JSON (no NaN) atomically."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        LastbitError: the file is missing, unreadable or not a JSON object.
    """
    try:
        with opened_file(path) as file:
            value = json.loads(file.read().decode("utf-8"))
    except FileNotFoundError:
        raise LastbitError(f"{path.parent} is not a study: it has no {path.name}{_inside(path)}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise LastbitError(f"{path} cannot be read ({error}): the file is damaged or not lastbit's") from None
    if not isinstance(value, dict):
        raise LastbitError(f"{path} holds no JSON object: the file is damaged or not lastbit's")
    return value


def _inside(path: Path) -> str:
    """Return which folders beside the missing file hold one, the youngest first, as the end of a sentence."""
    found = sorted(path.parent.glob(f"*/{path.name}"), key=lambda one: one.stat().st_mtime, reverse=True)
    return f"; the studies in it are {', '.join(str(one.parent) for one in found[:3])}" if found else ""
