"""One writer to a study folder at a time. The lock is the kernel's: it ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from lastbit.core.errors import LastbitError

__all__ = ["is_held", "locked"]

_LOOKS, _PAUSE = 5, 0.02
"""A reader that asks `is_held` holds the file for microseconds: a writer that runs into it retries, this often."""


def is_held(folder: Path) -> bool:
    """Tell whether a process is working on a study, without taking its lock or writing anything."""
    try:
        file = (folder / "lock").open("rb")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold an exclusive `flock` on `FOLDER/lock`, taken at once or not at all.

    Raises:
        LastbitError: another process holds it (its process number is named).
    """
    with (folder / "lock").open("a+") as file:
        if not _taken(file):
            file.seek(0)
            raise LastbitError(
                f"another lastbit (process {file.read().strip() or 'unknown'}) is working on {folder}: wait for it, or "
                "choose another folder"
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _taken(file: TextIO) -> bool:
    for look in range(_LOOKS):
        if look:
            time.sleep(_PAUSE)
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False
