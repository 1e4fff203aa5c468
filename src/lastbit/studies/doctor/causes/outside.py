"""Causes that lie outside the program: the clock, the system's entropy, the process, a file, the network."""

from __future__ import annotations

from lastbit.studies.doctor import interventions
from lastbit.studies.doctor.causes.case import Case, Row, hinted
from lastbit.studies.doctor.evidence import Hint

__all__ = ["CLOCK", "ENTROPY", "FILE_LEFT", "MACHINE_STATE", "NETWORK", "PROCESS_ID"]


def _left_file(case: Case) -> Hint | None:
    hint = case.hint("file")
    return hint if hint is not None and not hint.said.endswith(": written") else None


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
