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

__all__ = ["alone_in", "run_guarded"]


@contextmanager
def alone_in(folder: Path) -> Iterator[int]:
    """Wait until no program that an earlier lastbit launched writes into a folder, and keep others out meanwhile.

    Yields:
        A descriptor for `run_guarded`: the folder is free once both have closed it.
    """
    import fcntl  # not on Windows, where this module is imported too

    held = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # of a file system without locks
            fcntl.flock(held, fcntl.LOCK_EX)
        yield held
    finally:
        os.close(held)


def run_guarded(
    command: Sequence[str],
    descriptors: tuple[int, int, int],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    mark: str,
    timeout: float | None,
) -> tuple[int, bool]:
    """Run a command in a session of its own; whatever it started has ended when this returns or raises.

    Args:
        command: word by word.
        descriptors: of its standard output, its standard error, and one that stays open until all has ended; its
            standard input is empty.
        cwd: where it runs.
        environment: all of it.
        mark: text that only its environment holds.
        timeout: seconds after which it is ended.

    Returns:
        The exit code, negative where a signal ended it, and whether the time ran out.

    Raises:
        LastbitError: the program cannot be run.
    """
    told = {
        "words": [_plain(word) for word in command],
        "environment": [_plain(f"{name}={value}") for name, value in environment.items()],
        "cwd": _plain(str(cwd)),
        "stdout": descriptors[0],
        "stderr": descriptors[1],
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
        pass_fds=descriptors,
        start_new_session=True,
        bufsize=0,
    ) as guard:
        assert guard.stdin is not None
        assert guard.stdout is not None
        timed_out = False
        try:
            guard.stdin.write(json.dumps(told).encode() + b"\n")
            guard.wait(timeout)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            guard.stdin.close()
            guard.wait()
        answer: dict[str, Any] = {}
        for line in guard.stdout.read().splitlines():
            answer |= json.loads(line)
    if "error" in answer:
        raise LastbitError(f"{command[0]} cannot be run: {answer['error']}")
    if "code" not in answer:
        warden.end_all(answer.get("program", guard.pid), guard.pid, mark, grace=warden.GRACE)
        raise LastbitError(f"the process that watches over {command[0]} was killed: run it again")
    return answer["code"], timed_out


def _plain(text: str) -> str:
    """Return text whose characters stand for the bytes that the operating system takes for `text`."""
    return os.fsencode(text).decode("latin-1")
