"""A program run under a warden, which ends whatever it started: at its end, on a time-out, when lastbit is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.launch import warden

__all__ = ["Guarded", "alone_in", "guarded"]


@contextmanager
def alone_in(folder: Path) -> Iterator[int]:
    """Wait until no program that an earlier lastbit launched writes into a folder, and keep others out meanwhile.

    Yields:
        A descriptor for `guarded`: the folder is free once both have closed it.
    """
    import fcntl  # not on Windows, where this module is imported too

    held = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # of a file system without locks
            fcntl.flock(held, fcntl.LOCK_EX)
        yield held
    finally:
        os.close(held)


class Guarded:
    """A command that runs under its warden, or ran."""

    def __init__(self, name: str, mark: str, guard: subprocess.Popen[bytes]) -> None:
        self._name, self._mark, self._guard = name, mark, guard
        self._answer: dict[str, Any] = {}

    def wait(self, timeout: float | None) -> bool:
        """Tell whether it and whatever it started have ended, within so many seconds."""
        try:
            self._guard.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> None:
        """End it, and whatever it started."""
        assert self._guard.stdin is not None
        assert self._guard.stdout is not None
        self._guard.stdin.close()
        self._guard.wait()
        # The second time there is nothing left to read.
        for line in self._guard.stdout.read().splitlines():
            self._answer |= json.loads(line)

    @property
    def exit_code(self) -> int:
        """Of what has ended; negative where a signal ended it.

        Raises:
            LastbitError: the program could not be run.
        """
        if "error" in self._answer:
            raise LastbitError(f"{self._name} cannot be run: {self._answer['error']}")
        if "code" not in self._answer:
            pid = self._guard.pid
            warden.end_all(self._answer.get("program", pid), pid, self._mark, grace=warden.GRACE)
            raise LastbitError(f"the process that watches over {self._name} was killed: run it again")
        return int(self._answer["code"])


@contextmanager
def guarded(
    command: Sequence[str],
    descriptors: tuple[int | None, int, int, int],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    mark: str,
) -> Iterator[Guarded]:
    """Run a command in a session of its own; whatever it started has ended when this is left.

    Args:
        command: word by word.
        descriptors: of its standard input, which is empty where that is None, of its standard output and its standard
            error, and one that stays open until all has ended.
        cwd: where it runs.
        environment: all of it.
        mark: text that only its environment holds.
    """
    told = {
        "words": [_plain(word) for word in command],
        "environment": [_plain(f"{name}={value}") for name, value in environment.items()],
        "cwd": _plain(str(cwd)),
        "stdin": descriptors[0],
        "stdout": descriptors[1],
        "stderr": descriptors[2],
        "mark": mark,
        "settle": warden.SETTLE,
        "grace": warden.GRACE,
    }
    # Not of the terminal's process group: Ctrl-C is for this process alone, which then closes the pipe.
    with subprocess.Popen(
        [sys.executable, "-I", "-S", warden.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=[one for one in descriptors if one is not None],
        start_new_session=True,
        bufsize=0,
    ) as guard:
        assert guard.stdin is not None
        one = Guarded(command[0], mark, guard)
        try:
            guard.stdin.write(json.dumps(told).encode() + b"\n")
            yield one
        finally:
            one.end()


def _plain(text: str) -> str:
    """Return text whose characters stand for the bytes that the operating system takes for `text`."""
    return os.fsencode(text).decode("latin-1")
