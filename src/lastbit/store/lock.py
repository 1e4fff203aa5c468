"""One writer to a study folder at a time. The lock is the kernel's: it ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from lastbit.core.errors import LastbitError

__all__ = ["FolderLock", "is_held"]

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


class FolderLock:
    """An exclusive `flock` on `FOLDER/lock`, taken at once or not at all.

    Raises:
        LastbitError: another process holds it (its process number is named).
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lock"
        self._file = self.path.open("a+")
        if not self._taken():
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise LastbitError(
                f"another lastbit (process {holder}) is working on {folder}: wait for it, or choose another folder"
            )
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def _taken(self) -> bool:
        for look in range(_LOOKS):
            if look:
                time.sleep(_PAUSE)
            with suppress(BlockingIOError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
        return False

    def release(self) -> None:
        """Release the folder."""
        if not self._file.closed:
            self._file.truncate(0)
            self._file.close()

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
