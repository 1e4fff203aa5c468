"""From two runs as they were left to what is stored of them."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from pathlib import Path

from lastbit.core.errors import LastbitError
from lastbit.core.words import typed
from lastbit.launch.command import CommandRun
from lastbit.launch.pair.outcome import Pair, ProcessPair
from lastbit.launch.pair.recorded import ProcessSteps, read_steps
from lastbit.launch.pair.tapes import Line, Tap
from lastbit.report.formatting import plural
from lastbit.studies.doctor.diagnosis import Diagnosis
from lastbit.studies.doctor.findings import (
    Evidence,
    Finding,
    Followed,
    Outcome,
    PrintedDifference,
    ProcessOutcome,
    SourceLine,
)

__all__ = ["changed_between", "check_ran", "evidence_of", "holds_under", "outcome_of", "source_line"]

_AROUND = 3
"""Lines of source before and after the one that is shown."""

_EVIDENCE = 8
_EXCERPT, _BEFORE = 90, 30
"""Characters of a printed line that are kept, and of these so many before the first that differs."""

_TERMINAL = re.compile(
    r"EOFError: EOF when reading a line|Inappropriate ioctl for device|termios\.error|GetPassWarning|"
    r"_curses\.error|not a (tty|terminal)",
    re.IGNORECASE,
)


def check_ran(name: str, pair: Pair, timeout: float | None) -> None:
    """Check that there was something to compare, and that the program ends well.

    Args:
        name: of the program.
        pair: two runs of it.
        timeout: that was asked for.

    Raises:
        LastbitError: it needs a terminal, failed in both runs, made no optimizer step, or the time ran out before one.
    """
    runs = [run for run in pair.runs if run is not None]
    if pair.differences and pair.steps:
        return
    if pair.timed_out and not pair.processes:
        raise LastbitError(
            f"{name} made no optimizer step within --timeout {typed(timeout)}: give it more time, or see "
            f"{runs[-1].stdout} for what it waits for"
        )
    failed = [run for run in runs if run.exit_code and not run.timed_out]
    if len(failed) == len(runs) and not pair.differences:
        _fail(name, failed[0], pair.steps)
    pair.check()


def _fail(name: str, run: CommandRun, steps: int) -> None:
    said, last = run.last_lines.splitlines(), run.last_line
    if any(_TERMINAL.search(line) for line in said):
        raise LastbitError(
            f"{name} needs a terminal ({last}): it is run without one and reads nothing; hand over what it asks for "
            "as an option or in a file"
        )
    when = f" after {plural(steps, 'equal step')}" if steps else ""
    raise LastbitError(f"{name} ended with {run.ended_with} in both runs{when}: {last} (all of it: {run.stderr})")


def outcome_of(
    how: str,
    pair: Pair,
    diagnosis: Diagnosis | None,
    *,
    settings: Mapping[str, str],
    changed: Mapping[str, tuple[str, str]] | None = None,
) -> Outcome:
    """Return what is stored of two runs.

    Args:
        how: as in `Outcome`.
        pair: the runs.
        diagnosis: why they differ, where they do.
        settings: under which it holds.
        changed: of these, what the run in a record had otherwise.
    """
    ended = not pair.timed_out and not pair.differences
    codes = [None if run is None or not ended else run.exit_code for run in pair.runs]
    return Outcome(
        how=how,
        steps=pair.steps,
        tensors=sum(one.tensors for one in pair.processes),
        bytes=sum(one.compared for one in pair.processes),
        seconds=pair.seconds,
        timed_out=pair.timed_out,
        exit_codes=(codes[0], codes[1]),
        processes=tuple(map(_process, pair.processes)),
        taken=pair.taken,
        printed=tuple(_printed(*pair.runs)) if ended else (),
        finding=None if diagnosis is None else _finding(diagnosis),
        settings=settings,
        changed=changed or {},
        failed=_failed(pair),
        stacks=pair.stacks,
    )


def _failed(pair: Pair) -> tuple[str, str]:
    """Return how each run failed by itself, where one only went on longer than the other."""
    if pair.timed_out or any(one.kind not in ("length", "alone") for one in pair.differences):
        return "", ""
    ends = [
        "" if run is None or stopped or not run.exit_code else f"{run.ended_with}: {run.last_line}"
        for run, stopped in zip(pair.runs, pair.stopped, strict=True)
    ]
    return ends[0], ends[1]


def _process(one: ProcessPair) -> ProcessOutcome:
    found = one.difference
    last = [None, None] if found is None else [None if step is None else step[1] for step in found.steps]
    return ProcessOutcome(
        key=one.key,
        steps=one.steps,
        ended=one.ended,
        waiting=one.waiting,
        difference=None if found is None else found.kind,
        last=(last[0], last[1]),
        suspects=tuple(suspect.count + 1 for suspect in one.suspects),
    )


def _finding(found: Diagnosis) -> Finding:
    cause = found.cause
    return Finding(
        process=found.process,
        optimizer=found.optimizer,
        step=found.step,
        tensor=found.tensor,
        root=found.root.kind,
        operation=found.root.operation,
        root_step=found.root.step,
        said=found.root.said,
        line=source_line(found.root.line),
        cause=None if cause is None else cause.id,
        cause_said="" if cause is None else cause.said,
        cure="" if cause is None else cause.cure,
        cause_line=None if cause is None else source_line(cause.line),
        evidence=tuple(map(evidence_of, found.evidence[:_EVIDENCE])),
        path=tuple(
            Followed(
                operation=link.operation,
                line=source_line(link.line),
                shape=link.shape,
                hashes=link.hashes,
                step=link.step,
            )
            for link in found.path
        ),
        unseen=found.unseen,
        argument=found.root.argument,
        values=found.root.values,
    )


def evidence_of(tap: Tap) -> Evidence:
    """Return what is stored of something that a run met."""
    return Evidence(kind=tap.kind, said=tap.said, where=_where(tap.line), count=tap.count)


def _where(line: Line | None) -> str:
    return "" if line is None else f"{Path(line.path).name}:{line.number}"


def source_line(line: Line | None) -> SourceLine | None:
    """Return a line with those around it, as the file has them now."""
    if line is None:
        return None
    linecache.checkcache(line.path)
    lines = linecache.getlines(line.path)
    first = max(line.number - _AROUND, 1)
    # A file that was changed since says nothing of what was run.
    same = len(lines) >= line.number and lines[line.number - 1].strip() == line.text.strip()
    around = tuple(text.rstrip("\n") for text in lines[first - 1 : line.number + _AROUND]) if same else ()
    return SourceLine(
        path=line.path, number=line.number, function=line.function, text=line.text, first=first, around=around
    )


def _printed(first: CommandRun | None, second: CommandRun | None) -> Iterable[PrintedDifference]:
    """Return where what two runs returned, and what they printed, first differs."""
    if first is None or second is None:
        return
    for what, place in (("returned", "records/returned.txt"), ("printed", "stdout.txt")):
        paths = [run.stdout.parent / place for run in (first, second)]
        if not all(path.exists() for path in paths):
            continue
        texts = [path.read_bytes().decode("utf-8", "replace").splitlines() for path in paths]
        pairs = enumerate(zip_longest(*texts, fillvalue=""), 1)
        differing = [(number, one, other) for number, (one, other) in pairs if one != other]
        if differing:
            number, one, other = differing[0]
            mine, theirs = _excerpts(one, other)
            yield PrintedDifference(what=what, line=number, first=mine, second=theirs, lines=len(differing))


def _excerpts(one: str, other: str) -> tuple[str, str]:
    """Return two lines, of long ones the part around the first character that differs."""
    if not (_is_text(one) and _is_text(other)):
        binary = [f"{plural(len(line), 'character')} that are no text" for line in (one, other)]
        return binary[0], binary[1]
    longest = max(len(one), len(other))
    parts = next((place for place, both in enumerate(zip(one, other, strict=False)) if both[0] != both[1]), None)
    apart = min(len(one), len(other)) if parts is None else parts
    begin = max(apart - _BEFORE, 0) if longest > _EXCERPT else 0
    mine, theirs = (
        f"{'…' if begin else ''}{line[begin : begin + _EXCERPT]}{'…' if len(line) > begin + _EXCERPT else ''}"
        for line in (one, other)
    )
    return mine, theirs


def _is_text(line: str) -> bool:
    return "\ufffd" not in line and all(letter.isprintable() or letter in "\t\x1b\b\f" for letter in line)


def holds_under(folder: Path) -> dict[str, str]:
    """Return the versions and settings of the processes that were recorded in a folder."""
    return _told(read_steps(folder))


def _told(processes: Iterable[ProcessSteps]) -> dict[str, str]:
    first = next((one.begin for one in processes), None)
    return {} if first is None else {**first["versions"], **first["settings"]}


def changed_between(recorded: Iterable[ProcessSteps], present: Iterable[ProcessSteps]) -> dict[str, tuple[str, str]]:
    """Return the versions and settings that a record has otherwise than this run: there, and here."""
    there, here = _told(recorded), _told(present)
    return {name: (there.get(name, ""), value) for name, value in here.items() if there.get(name, "") != value}
