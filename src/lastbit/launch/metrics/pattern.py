"""A user's regular expression, matched in a process of its own that is ended when it takes too long.

Python's `re` backtracks: `(a+)+$` on thirty letters takes years, holds the interpreter's lock and cannot be stopped by
another thread (https://docs.python.org/3/library/re.html has no time limit). A process can be ended from anywhere. It
is started without site packages and without the user's environment of Python (-I -S), which takes some 20 ms, and is
given the lines a part at a time.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

from lastbit.core.errors import LastbitError

__all__ = ["TIME_LIMIT", "PatternMatch", "check_pattern", "pattern_matches"]

TIME_LIMIT = 10.0
"""Seconds that a pattern may take on a part of the output of one run; thousands of lines take milliseconds."""

_PART = 1 << 18
"""Characters of a part, and of what a line adds beyond it."""

_CHILD = """
import json, re, sys
search = re.compile(json.loads(sys.stdin.readline())).finditer
found = {}
for part in sys.stdin:
    for number, segments in json.loads(part):
        for segment in reversed(segments):
            hits = [(segment, m.start(), m.group(1)) for m in search(segment) if m.group(1) is not None]
            if hits:
                found[number] = hits
                break
for hits in found.values():
    print(json.dumps(hits))
"""


@dataclass(frozen=True)
class PatternMatch:
    """What a pattern took from a line.

    Attributes:
        line: the part of the line that it matched in.
        start: where in it the whole match begins.
        text: what its group holds.
    """

    line: str
    start: int
    text: str


def check_pattern(pattern: str) -> None:
    """Check that a pattern compiles and has one group.

    Raises:
        LastbitError: it does not.
    """
    try:
        groups = re.compile(pattern).groups
    except (re.error, OverflowError, RecursionError) as error:
        raise LastbitError(
            f"--metric '/{pattern}/' is no regular expression ({error}): write one with the number in a group, as in "
            "'/acc=(\\S+)/'"
        ) from None
    if groups != 1:
        cure = "put the number in (...)" if not groups else "keep one (...), and write the others as (?:...)"
        raise LastbitError(f"--metric '/{pattern}/' has {groups} groups and needs one: {cure}, as in '/acc=(\\S+)/'")


def pattern_matches(
    lines: Iterable[tuple[int, Sequence[str]]], pattern: str, limit: float = TIME_LIMIT
) -> list[PatternMatch]:
    """Return what a pattern finds in each line, in the last of its segments where it finds something.

    Args:
        lines: number and segments of each, as `segments` yields them.
        pattern: with one group.
        limit: in seconds, for a part of the lines.

    Raises:
        LastbitError: the pattern is none, or takes too long.
    """
    check_pattern(pattern)
    command = [sys.executable, "-I", "-S", "-W", "ignore", "-c", _CHILD]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, encoding="utf-8") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        guard = _Guard(child, limit)
        with suppress(BrokenPipeError), child.stdin as told:  # it has ended: why is asked below
            for part in chain([pattern], _parts(lines)):
                line = json.dumps(part) + "\n"
                with guard:
                    told.write(line)
                    told.flush()
        with guard:
            found = [PatternMatch(*hit) for line in child.stdout for hit in json.loads(line)]
            said = child.stderr.read()
    if guard.ended:
        raise LastbitError(
            f"--metric '/{pattern}/' takes more than {round(limit, 1)} s on this output: a repetition inside a "
            "repetition, as in (a+)+, can take for ever; write it without"
        )
    if child.returncode:
        last = said.strip().rpartition("\n")[2]
        raise LastbitError(f"--metric '/{pattern}/' failed on this output ({last}): write a simpler pattern")
    return found


def _parts(lines: Iterable[tuple[int, Sequence[str]]]) -> Iterator[list[tuple[int, Sequence[str]]]]:
    part, size = [], 0
    for number, segments in lines:
        part.append((number, segments))
        size += sum(map(len, segments)) + 1
        if size > _PART:
            yield part
            part, size = [], 0
    if part:
        yield part


class _Guard:
    """Ends a process for which this one waits longer than `limit` seconds, in a `with` of it."""

    def __init__(self, child: subprocess.Popen[str], limit: float) -> None:
        self.ended = False
        self._child, self._limit = child, limit

    def __enter__(self) -> None:
        self._timer = threading.Timer(self._limit, self._end)
        self._timer.daemon = True
        self._timer.start()

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.ended = True
        self._child.kill()
