"""Where a process stands when the time runs out: the lines of all its threads, written by the interpreter itself.

It needs neither the interpreter's lock nor a thread of Python's, so that it works in a deadlock, and other than by a
signal the program sees nothing of it.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from lastbit.launch.site.lines import is_library
from lastbit.launch.site.taps import taps

__all__ = ["Watch", "read_stacks", "stood_at"]

_HIGH = 900
"""A program that closes what it did not open, and opens files of its own, does not come to such numbers of files."""


class Watch:
    """Writes `stack-PID.txt` shortly before the time runs out, unless the program uses `faulthandler` so itself.

    Args:
        folder: takes it.
        deadline: in seconds since 1970; None: there is none.
    """

    def __init__(self, folder: Path, deadline: float | None) -> None:
        self._folder, self._deadline = folder, deadline
        self._later = faulthandler.dump_traceback_later
        self._ours = False
        self._file = -1
        if deadline is None:
            return
        faulthandler.dump_traceback_later = self._theirs
        self._begin()
        # Its thread is not there in a forked child, which would wait for that thread's end for good.
        os.register_at_fork(before=self._end, after_in_parent=self._begin, after_in_child=self._begin)

    def _theirs(self, *args: Any, **kwargs: Any) -> None:
        self._ours, self._deadline = False, None
        self._later(*args, **kwargs)

    def _end(self) -> None:
        if self._ours:
            faulthandler.cancel_dump_traceback_later()
            self._ours = False
            with suppress(OSError):
                os.close(self._file)

    def _begin(self) -> None:
        if self._deadline is None:
            return
        with taps.muted(), suppress(OSError, RuntimeError):
            left = self._deadline - time.time()
            seconds = left - max(1.0, left / 50)
            if seconds <= 0:
                return
            with (self._folder / f"stack-{os.getpid()}.txt").open("w") as file:
                self._file = fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, _HIGH)
            self._later(seconds, file=self._file)
            self._ours = True


def read_stacks(folder: Path) -> str:
    """Return what the processes of a run wrote, one after another."""
    texts = [path.read_text("utf-8", "replace").strip() for path in sorted(folder.glob("stack-*.txt"))]
    return "\n\n".join(text for text in texts if text)


def stood_at(stacks: str) -> str:
    """Return the line of the program's at which its main thread stood, as `train.py:12`; empty where none is known.

    Args:
        stacks: as `read_stacks` returns them; of each process, the main thread comes last.
    """
    for line in re.finditer(r'  File "(.+)", line (\d+) in ', stacks.rpartition("Thread ")[2]):
        if not is_library(line[1]):
            return f"{Path(line[1]).name}:{line[2]}"
    return ""
