"""Files that a run left behind: only regular ones, no larger than the limit, and none of an earlier run."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from lastbit.core.errors import LastbitError

__all__ = ["SIZE_LIMIT", "SLACK", "content_of", "paths_below"]

SIZE_LIMIT = 100 << 20
"""Bytes of a file that is read whole."""

SLACK = 0.05
"""Seconds by which a file's time may lie before the start of the run that wrote it: file systems stamp with the
kernel's tick, up to 10 ms old."""

_PASSED_OVER = frozenset({"__pycache__", "node_modules", "site-packages"})


def content_of(path: Path, since: float, limit: int = SIZE_LIMIT) -> bytes:
    """Return the content of a file that was written since a time.

    Raises:
        LastbitError: it is missing, no regular file, too large, or older than the run.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise LastbitError(f"{path} is no regular file: name the file that the program writes its metrics to")
        if state.st_size > limit:
            raise LastbitError(f"{path} has more than {limit >> 20} MB: write the metrics to a file of their own")
        if state.st_mtime < since - SLACK:
            raise LastbitError(f"{path} is older than the run, which did not write it: let the program write it anew")
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise LastbitError(
            f"{path} cannot be read after the run ({error.strerror}): name the file that the program writes"
        ) from None


def paths_below(folder: Path, wanted: Callable[[str], bool], since: float = 0.0) -> list[Path]:
    """Return the regular files below a folder with a wanted name that were written since a time, in order of path.

    No symbolic link is followed, and hidden folders and those of installed packages are passed over.
    """
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _PASSED_OVER]
        for name in filter(wanted, names):
            path = Path(place, name)
            try:
                state = path.lstat()
            except OSError:
                continue
            if stat.S_ISREG(state.st_mode) and state.st_mtime >= since - SLACK:
                found.append(path)
    return sorted(found)
