"""A program run twice, both at once and in lock step, to where they differ."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lastbit.launch.command import CommandRun, what_became_of
from lastbit.launch.pair.referee import Found, Referee, TwinRecord
from lastbit.launch.pair.tapes import Tape, read_tape
from lastbit.launch.process import Launched, launched
from lastbit.launch.settings import LaunchSettings

__all__ = ["Difference", "Pair", "ProcessPair", "run_pair"]

GRACE = 10.0
"""Seconds that the other processes are given after the first difference, to come to theirs."""


@dataclass(frozen=True)
class Difference:
    """Where two processes were no longer equal."""

    kind: str
    """`values`: what is trained, its gradients or settings; `path`: another optimizer stepped; `length`: one ended
    before the other's next step; `end`: what is trained differs after the last step; `alone`: the other run has no
    such process; `operations`: only results of operations differ, and nothing that is trained."""
    key: str
    """Of the process."""
    place: int
    """Among those of the same key."""
    count: int
    """Exchanges before it, all equal."""
    steps: tuple[tuple[int, int] | None, tuple[int, int] | None]
    """Optimizer and its step of each run; -1 and 0 at the end of the process; None where it came no more."""
    tapes: tuple[Tape | None, Tape | None]


@dataclass(frozen=True)
class ProcessPair:
    """A process of the program, in both runs."""

    key: str
    """The program, with its rank, its place among the processes of `multiprocessing` and among forked ones."""
    place: int
    rank: int | None
    program: str
    pids: tuple[int | None, int | None]
    steps: int
    """Optimizer steps after which both were equal."""
    tensors: int
    """Compared at the last of them."""
    compared: int
    """Bytes of parameters and gradients, all steps together."""
    ended: bool
    """Whether both came to their end, equal."""
    waiting: tuple[bool, bool]
    """Which was waiting for the other when the time ran out."""
    difference: Difference | None
    suspects: tuple[Difference, ...]
    """The first steps whose operations gave other results, while what is trained was equal."""


@dataclass(frozen=True)
class Pair:
    """What two runs of a program left behind."""

    runs: tuple[CommandRun, CommandRun]
    processes: tuple[ProcessPair, ...]
    """Those that made an optimizer step in either run."""
    seconds: float
    timed_out: bool

    @property
    def steps(self) -> int:
        """Of all processes, after which both were equal."""
        return sum(process.steps for process in self.processes)

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Of all processes; those with fewer exchanges before them first."""
        found = [process.difference for process in self.processes if process.difference is not None]
        return tuple(sorted(found, key=lambda one: one.count))

    @property
    def identical(self) -> bool:
        """Whether every process came to its end in both runs and was equal at every step."""
        return bool(self.processes) and not self.timed_out and all(process.ended for process in self.processes)

    def check(self) -> None:
        """Check that there was something to compare.

        Raises:
            LastbitError: no optimizer made a step, which says how far lastbit got.
        """
        if not self.processes:
            self.runs[0].check_steps(0)


def run_pair(
    words: Sequence[str],
    *,
    settings: LaunchSettings,
    folder: Path,
    cwd: Path | None = None,
    timeout: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> Pair:
    """Run a command twice at once, and stop both where they first differ.

    Whatever they started has ended when this returns or raises; it ends too where this process is killed.

    Args:
        words: the command, word by word.
        settings: of both runs.
        folder: takes a folder for each run, with `stdout.txt`, `stderr.txt` and the records; made where it is missing.
        cwd: where they run; here by default.
        timeout: seconds after which both are ended.
        environment: all of it; this process's by default.

    Raises:
        LastbitError: there is no such program, or lastbit would not be reached in it.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with Referee(folder) as referee:
        with ExitStack() as stack:
            runs = [
                stack.enter_context(
                    launched(
                        words,
                        settings=settings,
                        folder=folder / name,
                        cwd=cwd,
                        environment=environment,
                        told={"pair": referee.told(side)},
                    )
                )
                for side, name in enumerate(("first", "second"))
            ]
            timed_out = _refereed(referee, runs, None if timeout is None else began + timeout)
        became = (what_became_of(runs[0]), what_became_of(runs[1]))
        processes = tuple(map(_process, referee.records))
    return Pair(became, processes, time.monotonic() - began, timed_out)


def _refereed(referee: Referee, runs: list[Launched], deadline: float | None) -> bool:
    """Answer both runs until they have ended or may be ended; tell whether the time ran out."""
    found: float | None = None
    while True:
        referee.listen(0.05)
        now = time.monotonic()
        for side, run in enumerate(runs):
            if run.process.poll() is not None:
                referee.end(side)
        if all(referee.over):
            for _ in range(3):  # what was sent before the end
                referee.listen(0.0)
            return False
        if referee.settled:
            return False
        if referee.found:
            found = found or now
            if now - found > GRACE:
                return False
        if deadline is not None and now > deadline:
            for run in runs:
                run.timed_out = True
            return True


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
    )


def _difference(record: TwinRecord, found: Found) -> Difference:
    steps = [None if line is None else (line["optimizer"], line["step"]) for line in found.lines]
    tapes = [None if path is None else read_tape(path) for path in found.tapes]
    return Difference(found.kind, record.key, record.place, found.count, (steps[0], steps[1]), (tapes[0], tapes[1]))
