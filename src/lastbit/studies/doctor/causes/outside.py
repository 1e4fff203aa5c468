"""Causes that lie outside the program: the clock, the system's entropy, the process, a file, the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from lastbit.launch.pair.tapes import Tap
from lastbit.studies.doctor import interventions
from lastbit.studies.doctor.causes.case import Case, Row, hinted
from lastbit.studies.doctor.evidence import Hint

__all__ = ["CLOCK", "ENTROPY", "FILE_LEFT", "MACHINE_STATE", "NETWORK", "PROCESS_ID"]


def _left_file(case: Case) -> Hint | None:
    hint = case.hint("file")
    return None if hint is None or hint.said.endswith(": written") or _renamed(case, hint) else hint


def _renamed(case: Case, hint: Hint) -> bool:
    """Tell whether a file is read in one run only, and the other reads mostly the same under names of its own."""
    runs = [dict(_read(tape.taps)) for tape in case.found.step.tapes]
    alone = [{path: held for path, held in runs[side].items() if path not in runs[1 - side]} for side in (0, 1)]
    if hint.said.rpartition(": ")[0] not in alone[0] | alone[1]:
        return False
    held = [Counter(files.values()) for files in alone]
    return 2 * (held[0] & held[1]).total() >= max(one.total() for one in held)


def _read(taps: Sequence[Tap]) -> Iterator[tuple[str, str]]:
    for tap in taps:
        path, _, said = tap.said.rpartition(": ")
        if tap.kind == "file" and said != "written":
            yield path, said


ENTROPY = Row(
    "entropy",
    "A value is made of the system's entropy (os.urandom, uuid, secrets).",
    "Draw it from a seeded generator instead.",
    interventions.ENTROPY,
    hinted("entropy"),
)

CLOCK = Row(
    "clock",
    "A value or a decision hangs on the clock.",
    "Count steps instead of seconds.",
    interventions.CLOCK,
    hinted("time"),
)

PROCESS_ID = Row(
    "process-id",
    "A value hangs on the number of the process.",
    "Use the rank or the worker's id, which are the same in every run.",
    interventions.PROCESS,
    hinted("process"),
)

FILE_LEFT = Row(
    "file-left",
    "A file that is read had other contents in each run, or was there in one only: a run left it behind.",
    "Remove it before each run, or write it to a folder of the run's own.",
    interventions.FILES,
    _left_file,
)

MACHINE_STATE = Row(
    "machine-state",
    "A value hangs on the machine's state (free memory, load, processors), which is another in each run.",
    "Fix the number, or take it as an option, and print it where the program chooses it.",
    None,
    hinted("machine"),
)

NETWORK = Row(
    "network",
    "What is used came over the network.",
    "Download it once, and read the copy.",
    None,
    hinted("network"),
)
