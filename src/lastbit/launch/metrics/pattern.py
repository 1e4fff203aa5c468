"""A user's regular expression, matched in a process of its own that is ended when it takes too long.

Python's `re` backtracks: `(a+)+$` on thirty letters takes years, holds the interpreter's lock and cannot be stopped by
another thread (https://docs.python.org/3/library/re.html has no time limit). A process can be ended from anywhere. It
is started without site packages and without the user's environment of Python (-I -S), which takes some 20 ms.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from lastbit.core.errors import LastbitError

__all__ = ["TIME_LIMIT", "PatternMatch", "check_pattern", "pattern_matches"]

TIME_LIMIT = 10.0
"""Seconds that a pattern may take on the whole output of one run; thousands of lines take milliseconds."""

_CHILD = """
import json, re, sys
pattern, lines = json.load(sys.stdin)
search = re.compile(pattern).finditer
found = []
for number, segments in enumerate(lines):
    for at in range(len(segments) - 1, -1, -1):
        hits = [(number, at, m.start(), m.group(1)) for m in search(segments[at]) if m.group(1) is not None]
        if hits:
            found += hits
            break
json.dump(found, sys.stdout)
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


def pattern_matches(lines: Sequence[Sequence[str]], pattern: str, limit: float = TIME_LIMIT) -> list[PatternMatch]:
    """Return what a pattern finds in each line, in the last of its segments where it finds something.

    Raises:
        LastbitError: the pattern is none, or takes more than `limit` seconds.
    """
    check_pattern(pattern)
    command = [sys.executable, "-I", "-S", "-W", "ignore", "-c", _CHILD]
    try:
        done = subprocess.run(
            command, input=json.dumps([pattern, lines]).encode(), capture_output=True, timeout=limit, check=True
        )
    except subprocess.TimeoutExpired:
        raise LastbitError(
            f"--metric '/{pattern}/' takes more than {round(limit, 1)} s on this output: a repetition inside a "
            "repetition, as in (a+)+, can take for ever; write it without"
        ) from None
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise LastbitError(f"--metric '/{pattern}/' failed on this output ({last}): write a simpler pattern") from None
    return [PatternMatch(lines[number][at], start, text) for number, at, start, text in json.loads(done.stdout)]
