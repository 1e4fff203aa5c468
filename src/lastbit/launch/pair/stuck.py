"""Where a process stands when the time runs out: the lines of all its threads, written by the interpreter itself.

It needs neither the interpreter's lock nor a thread of Python's, so that it works in a deadlock, and other than by a
signal the program sees nothing of it.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["read_stacks", "watch"]

_HIGH = 900
"""A program that closes what it did not open, and opens files of its own, does not come to such numbers of files."""


def watch(folder: Path, deadline: float | None) -> None:
    """Write `stack-PID.txt` shortly before the deadline.

    Args:
        folder: takes it.
        deadline: in seconds since 1970; None: there is none.
    """
    if deadline is None:
        return
    left = deadline - time.time()
    seconds = left - max(1.0, left / 50)
    if seconds <= 0:
        return
    with suppress(OSError, RuntimeError), (folder / f"stack-{os.getpid()}.txt").open("w") as file:
        number = fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, _HIGH)
        faulthandler.dump_traceback_later(seconds, file=number)


def read_stacks(folder: Path) -> str:
    """Return what the processes of a run wrote, one after another."""
    texts = [path.read_text("utf-8", "replace").strip() for path in sorted(folder.glob("stack-*.txt"))]
    return "\n\n".join(text for text in texts if text)
