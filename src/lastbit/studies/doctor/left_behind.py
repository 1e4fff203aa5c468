"""What only the very first run found otherwise: two runs at once agree, two in turn agree, and the four do not.

A cache that the first run fills is there for every later one, so that no pair shows it: the checksums of the pairs are
held against each other, and a file that later runs read and that was written since the examination began is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lastbit.launch.pair.outcome import Pair, ProcessPair
from lastbit.launch.pair.recorded import read_steps
from lastbit.launch.pair.tapes import Tap
from lastbit.studies.doctor.causes.table import CAUSES
from lastbit.studies.doctor.compare import evidence_of, source_line
from lastbit.studies.doctor.findings import Finding, Outcome, ProcessOutcome
from lastbit.studies.doctor.verdict import FILE_LEFT

__all__ = ["FIRST_AGAINST_LATER", "first_against_later"]

FIRST_AGAINST_LATER = "first runs against later"


def first_against_later(
    at_once: Pair, in_turn: Pair, *, records: Path, cwd: Path, since: float, settings: Mapping[str, str]
) -> Outcome | None:
    """Return where the two pairs, each of which is equal, differ from each other; None where they do not.

    Args:
        at_once: the first two runs.
        in_turn: the later two.
        records: of one of the later runs.
        cwd: where they ran.
        since: when the examination began, `time.time()`.
        settings: under which the later runs were made.
    """
    later = {(one.key, one.place): one for one in in_turn.processes}
    for first in at_once.processes:
        other = later.get((first.key, first.place))
        count = None if other is None else _first_other(first, other)
        if count is not None:
            return _outcome(first, count, _left(records, first, cwd, since), settings)
    return None


def _first_other(first: ProcessPair, other: ProcessPair) -> int | None:
    """Return the number of steps before the first that both have and at which they differ."""
    common = first.checksums.keys() & other.checksums.keys()
    return min((count for count in common if first.checksums[count] != other.checksums[count]), default=None)


def _left(records: Path, first: ProcessPair, cwd: Path, since: float) -> Tap | None:
    """Return the reading of a file that was written since the examination began; of several the first."""
    for process in read_steps(records):
        if process.key == (first.key, first.place):
            return next((tap for tap in process.met if tap.kind == "file" and _is_new(tap, cwd, since)), None)
    return None


def _is_new(tap: Tap, cwd: Path, since: float) -> bool:
    try:
        return not tap.said.endswith(": written") and (cwd / _path(tap)).stat().st_mtime >= since
    except OSError:
        return False


def _path(tap: Tap) -> str:
    return tap.said.rpartition(": ")[0]


def _outcome(process: ProcessPair, count: int, left: Tap | None, settings: Mapping[str, str]) -> Outcome:
    row = next(one for one in CAUSES if one.id == FILE_LEFT)
    finding = Finding(
        process=process.key,
        optimizer=0,
        step=count + 1,
        tensor=None,
        root="outside" if left is None else "file",
        operation=None,
        root_step=count + 1,
        said="The first two runs agree, and so do the two after them, but not with each other.",
        line=None if left is None else source_line(left.line),
        cause=None if left is None else row.id,
        cause_said="" if left is None else f"{_path(left)}, which is read here, was written by the first runs.",
        cure="" if left is None else row.cure,
        cause_line=None,
        evidence=() if left is None else (evidence_of(left),),
        path=(),
        unseen=(),
    )
    apart = ProcessOutcome(
        key=process.key,
        steps=count,
        ended=False,
        waiting=(False, False),
        difference="values",
        last=(count + 1, count + 1),
        suspects=(),
    )
    return Outcome(
        how=FIRST_AGAINST_LATER,
        steps=count,
        tensors=process.tensors,
        bytes=0,
        seconds=0.0,
        timed_out=False,
        exit_codes=(None, None),
        processes=(apart,),
        taken=count,
        finding=finding,
        settings=settings,
    )
