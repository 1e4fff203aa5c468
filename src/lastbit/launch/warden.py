"""The parent of a launched program: it starts the program, waits for it, and ends whatever the program started.

Run as a script, it reads one line of JSON that says what to run, and answers with lines of JSON: the process of the
program, then how that ended. Its standard input closes however its launcher ends, and then it ends the program. On
Linux the kernel hands it every process of the program whose own parent has ended, so that a daemon with a session and
an environment of its own is found too. It needs the standard library alone.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["GRACE", "SETTLE", "end_all"]

GRACE = 3.0
"""Seconds between asking a process to end and ending it."""

SETTLE = 1.0
"""Seconds that what a program leaves running is given to end by itself."""

_LOOK = 0.02
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def end_all(program: int, parent: int, mark: str, *, grace: float) -> None:
    """End a program and whatever it started.

    They are asked first (SIGTERM), and killed after `grace` seconds. On Linux these are the descendants of `parent`
    and every process whose environment holds `mark`; elsewhere those of the program's process group.

    Args:
        program: its process, which leads a process group.
        parent: the process that started it.
        mark: text that only the environment of this program's processes holds.
        grace: in seconds.
    """
    if not _left(program, parent, mark):
        return
    _signal(program, parent, mark, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while _left(program, parent, mark):
        if time.monotonic() > deadline:
            _signal(program, parent, mark, signal.SIGKILL)
            # One that was forked meanwhile is found in the next round; what the kernel holds back is not waited for.
            if time.monotonic() > deadline + grace:
                return
        time.sleep(_LOOK)


def _left(program: int, parent: int, mark: str) -> bool:
    """Tell whether any of them is alive."""
    if _PROC:
        return bool(_alive(parent, mark))
    try:
        os.killpg(program, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal(program: int, parent: int, mark: str, number: signal.Signals) -> None:
    for send, target in [(os.kill, pid) for pid in _alive(parent, mark)] if _PROC else [(os.killpg, program)]:
        with suppress(ProcessLookupError, PermissionError):
            send(target, number)


_PROC = Path("/proc/self/stat").exists()


def _alive(parent: int, mark: str) -> list[int]:
    """Return the living descendants of a process, and the living processes that are marked, without this one."""
    parents, ended = {}, {os.getpid()}
    for path in Path("/proc").glob("[0-9]*"):
        pid = int(path.name)
        try:
            # Behind the name, which may hold anything, stand the state and the parent.
            state, above = (path / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        parents[pid] = int(above)
        if state in "ZX":  # it has ended, and waits for its parent to look
            ended.add(pid)
    return [pid for pid in parents.keys() - ended if _is_below(pid, parent, parents) or _holds(pid, mark)]


def _is_below(pid: int, parent: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == parent:
            return True
    return False


def _holds(pid: int, mark: str) -> bool:
    try:
        return mark.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def _reap() -> dict[int, int]:
    """Return the children that have ended since, with their exit codes."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if not pid:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def _prctl(option: int, value: int) -> None:
    """Set an attribute of this process where the system is Linux."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _outcome(program: int, woken: int) -> int | None:
    """Wait for the program and return its exit code; None where the launcher has gone, or says to end it."""
    while True:
        codes = _reap()
        if program in codes:
            return codes[program]
        ready, _, _ = select.select([0, woken], [], [])
        if 0 in ready:
            return None
        os.read(woken, 4096)


def _answer(**told: Any) -> None:
    with suppress(OSError):  # nobody listens any more
        os.write(1, json.dumps(told).encode() + b"\n")


def main() -> None:
    """Run what standard input says, until it ends or standard input closes."""
    told = json.loads(sys.stdin.buffer.readline())
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    words, environment = ([text.encode("latin-1") for text in told[name]] for name in ("words", "environment"))
    try:
        # Kept by its name: one that is dropped asks for its exit code itself.
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL if told["stdin"] is None else told["stdin"],
            stdout=told["stdout"],
            stderr=told["stderr"],
            cwd=told["cwd"].encode("latin-1"),
            env=dict(one.split(b"=", 1) for one in environment),
            start_new_session=True,
            # Should this process be killed, the program at least ends with it.
            preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
        )
    except OSError as error:
        _answer(error=error.strerror)
        return
    if told["stdin"] is not None:  # what the program does not read, its giver need not write
        os.close(told["stdin"])
    program = process.pid
    _answer(program=program)
    code, mark = _outcome(program, woken), told["mark"]
    deadline = time.monotonic() + told["settle"]
    while code is not None and _left(program, os.getpid(), mark) and time.monotonic() < deadline:
        if select.select([0], [], [], _LOOK)[0]:
            break
    end_all(program, os.getpid(), mark, grace=told["grace"])
    _answer(code=_reap().get(program, -signal.SIGKILL) if code is None else code)


if __name__ == "__main__":
    main()
