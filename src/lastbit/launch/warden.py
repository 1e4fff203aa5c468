"""Ends a program and whatever it started: called by its launcher, and run beside it in case the launcher is killed.

Run as a script it waits until its standard input closes, which happens however its launcher ends, and then ends what
is left of the program. It needs the standard library alone.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

__all__ = ["end_all", "left"]

GRACE = 3.0
"""Seconds between asking a process to end and ending it."""


def end_all(group: int, mark: str, *, grace: float) -> None:
    """End every process of the group `group`, and on Linux every one whose environment holds `mark`.

    They are asked first (SIGTERM), and killed after `grace` seconds. The mark finds those that left the group.

    Args:
        group: the process group, which is not this process's own.
        mark: text that only the environment of this program's processes holds.
        grace: in seconds.
    """
    if not left(group, mark):  # by now the number of the group may be another's
        return
    _signal(group, mark, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while left(group, mark):
        if time.monotonic() > deadline:
            _signal(group, mark, signal.SIGKILL)
            # One that was forked meanwhile is found in the next round; what the kernel holds back is not waited for.
            if time.monotonic() > deadline + grace:
                return
        time.sleep(0.02)


def left(group: int, mark: str) -> bool:
    """Tell whether a process of the group, or one that is marked, is alive."""
    if Path("/proc/self/stat").exists():
        return any(not _ended(pid) for pid in _members(group)) or bool(_marked(mark))
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal(group: int, mark: str, number: signal.Signals) -> None:
    for send, target in [(os.killpg, group), *((os.kill, pid) for pid in _marked(mark))]:
        try:
            send(target, number)
        except (ProcessLookupError, PermissionError):
            continue


def _numbers() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _fields(pid: int) -> list[str]:
    """Return the fields of a process behind its name: state, parent, group and so on; none where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return []


def _ended(pid: int) -> bool:
    # A zombie has ended, and waits for its parent to look.
    fields = _fields(pid)
    return not fields or fields[0] in "ZX"


def _members(group: int) -> list[int]:
    return [pid for pid in _numbers() if (fields := _fields(pid)) and fields[2] == str(group)]


def _marked(mark: str) -> list[int]:
    """Return the living processes whose environment holds `mark`, without this one."""
    found = []
    for pid in _numbers():
        try:
            held = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if mark.encode() in held and pid != os.getpid() and not _ended(pid):
            found.append(pid)
    return found


def main(group: str, mark: str) -> None:
    """Wait for the launcher to end or to say that all is done."""
    if not sys.stdin.read():
        end_all(int(group), mark, grace=GRACE)


if __name__ == "__main__":
    main(*sys.argv[1:])
