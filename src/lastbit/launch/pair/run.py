"""A program run twice, both at once and in lock step, to where they differ."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lastbit.launch.command import CommandRun, what_became_of
from lastbit.launch.pair.against import held_against
from lastbit.launch.pair.call import Call
from lastbit.launch.pair.outcome import Difference, Met, Pair, ProcessPair
from lastbit.launch.pair.recorded import RunRecord, read_steps
from lastbit.launch.pair.referee import Found, Referee, TwinRecord
from lastbit.launch.pair.stuck import read_stacks
from lastbit.launch.pair.tapes import read_tape
from lastbit.launch.pair.told import read_taps
from lastbit.launch.process import Launched, launched
from lastbit.launch.settings import Launch

__all__ = ["Recorded", "run_pair", "run_recorded", "run_sequential"]

LAST = 5.0
"""Seconds that a run is given to end by itself, where one ended and the other went on."""

GRACE = 10.0
"""Seconds that the other processes are given after the first difference, to come to theirs."""


def run_pair(
    program: Sequence[str] | Call,
    launch: Launch,
    *,
    changes: Mapping[str, Any] | None = None,
    until: int | None = None,
) -> Pair:
    """Run a program twice at once, and stop both where they first differ.

    Whatever they started has ended when this returns or raises; it ends too where this process is killed.

    Args:
        program: a command, word by word, or a call of a function.
        launch: how both are run; its folder takes one for each, and its time is that of both.
        changes: of what both meet, as in `lastbit.launch.site.changes`.
        until: steps of any process after which both are ended, where they were equal so far.

    Raises:
        LastbitError: there is no such program, lastbit would not be reached in it, or a function cannot travel.
    """
    folder, timeout = launch.folder.absolute(), launch.timeout
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    deadline = None if timeout is None else time.time() + timeout
    with Referee(folder) as referee:
        with ExitStack() as stack:
            runs = [
                stack.enter_context(
                    _launched(
                        program,
                        launch.into(name),
                        referee.told(side) | {"deadline": deadline, "changes": dict(changes or {})},
                    )
                )
                for side, name in enumerate(("first", "second"))
            ]
            timed_out = _refereed(referee, runs, None if timeout is None else began + timeout, until)
            stopped = _stopped(runs, referee)
        became = (what_became_of(runs[0]), what_became_of(runs[1]))
        processes = tuple(map(_process, referee.records))
    seconds = time.monotonic() - began
    met = _met(runs[0].records, runs[1].records, timed_out)
    return Pair(became, processes, seconds, timed_out, *met, stopped)


@dataclass(frozen=True)
class Recorded:
    """A run and its record."""

    run: CommandRun
    record: RunRecord
    folder: Path
    """Of what `save_record` writes as one file."""


def run_recorded(program: Sequence[str] | Call, launch: Launch, *, begin: int = 0) -> Recorded:
    """Run a program once, and record every step.

    Args:
        program: a command, word by word, or a call of a function.
        launch: how it is run.
        begin: the first step of a process whose operations are recorded; checksums are recorded from the first on.

    Raises:
        LastbitError: there is no such program, lastbit would not be reached in it, or a function cannot travel.
    """
    told = {"begin": begin, "deadline": None if launch.timeout is None else time.time() + launch.timeout}
    with _launched(program, launch, told) as one:
        one.wait(launch.timeout)
    return Recorded(what_became_of(one), RunRecord(one.words, read_steps(one.records), one.timed_out), one.records)


def run_sequential(program: Sequence[str] | Call, launch: Launch, *, begin: int = 0) -> Pair:
    """Run a program twice, one run after the other, so that the second finds what the first left behind.

    Args:
        program: a command, word by word, or a call of a function.
        launch: how each is run; its folder takes one for each.
        begin: as for `run_recorded`.

    Raises:
        LastbitError: there is no such program, lastbit would not be reached in it, or a function cannot travel.
    """
    both = [run_recorded(program, launch.into(name), begin=begin) for name in ("first", "second")]
    first, second = both[0].run, both[1].run
    return Pair(
        (first, second),
        held_against(both[0].record, both[1].record),
        first.seconds + second.seconds,
        first.timed_out or second.timed_out,
        *_met(both[0].folder, both[1].folder, first.timed_out or second.timed_out),
    )


def _met(first: Path, second: Path, timed_out: bool) -> tuple[tuple[Met, Met], tuple[str, str]]:
    """Return what processes met that train nothing, and where all stood when the time ran out."""
    stacks = (read_stacks(first), read_stacks(second)) if timed_out else ("", "")
    return (read_taps(first), read_taps(second)), stacks


def _launched(
    program: Sequence[str] | Call, launch: Launch, told: Mapping[str, Any]
) -> AbstractContextManager[Launched]:
    """Run a command or a call, with what the processes of a pair are told."""
    if isinstance(program, Call):
        about = {"pair": {**told, "name": program.name}}
        return launched(program.words, launch, told=about, given=program.given())
    return launched(program, launch, told={"pair": {**told, "name": None}})


def _refereed(referee: Referee, runs: list[Launched], deadline: float | None, until: int | None) -> bool:
    """Answer both runs until they have ended or may be ended; tell whether the time ran out."""
    found: float | None = None
    while True:
        referee.listen(0.05)
        now = time.monotonic()
        for side, run in enumerate(runs):
            if run.over:
                referee.end(side)
        if all(referee.over):
            for _ in range(3):  # what was sent before the end
                referee.listen(0.0)
            return False
        if referee.settled:
            return False
        if until is not None and not referee.found and any(one.steps >= until for one in referee.records):
            return False
        if referee.found:
            found = found or now
            if now - found > GRACE:
                return False
        if deadline is not None and now > deadline:
            for run in runs:
                run.timed_out = True
            return True


def _stopped(runs: Sequence[Launched], referee: Referee) -> tuple[bool, bool]:
    """Return which runs have not ended by themselves; one that ended while the other went on is waited for."""
    founds = [one.found for one in referee.records if one.found is not None and one.found.kind in ("length", "alone")]
    ended = {side for found in founds for side, line in enumerate(found.lines) if line is None or line["optimizer"] < 0}
    until = time.monotonic() + LAST
    while not all(runs[side].over for side in ended) and time.monotonic() < until:
        time.sleep(0.05)
    return not runs[0].over, not runs[1].over


def _process(record: TwinRecord) -> ProcessPair:
    return ProcessPair(
        record.key,
        record.place,
        record.rank,
        record.program,
        (record.pids[0], record.pids[1]),
        record.steps,
        record.tensors,
        record.size,
        all(record.ended),
        (record.waiting[0] is not None, record.waiting[1] is not None),
        None if record.found is None else _difference(record, record.found),
        tuple(_difference(record, kept) for kept in record.suspects),
        record.steps,
        record.checksums,
    )


def _difference(record: TwinRecord, found: Found) -> Difference:
    steps = [None if line is None else (line["optimizer"], line["step"]) for line in found.lines]
    tapes = [None if path is None else read_tape(path) for path in found.tapes]
    return Difference(found.kind, record.key, record.place, found.count, (steps[0], steps[1]), (tapes[0], tapes[1]))
