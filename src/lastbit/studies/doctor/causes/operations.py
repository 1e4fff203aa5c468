"""Causes that lie in an operation, or in memory that others write at the same time."""

from __future__ import annotations

from lastbit.studies.doctor import interventions
from lastbit.studies.doctor.causes.case import Case, Row, of_kind
from lastbit.studies.doctor.determinism import is_listed
from lastbit.studies.doctor.evidence import Hint

__all__ = [
    "COMPILED",
    "OPERATION",
    "OTHER_PROCESS",
    "THREADS_DIFFER",
    "UNFILLED_ARRAY",
    "UNINITIALISED",
    "WRITTEN_MEANWHILE",
]


def _threads_differ(case: Case) -> bool:
    first, second = case.found.ops
    computed = case.root.kind in ("operation", "compiled")
    return computed and first is not None and second is not None and first.threads != second.threads


def _other_process(case: Case) -> bool:
    op = case.found.ops[0]
    alone = op is not None and is_listed(op, case.tape)
    return case.siblings and not alone and case.root.kind in ("outside", "order", "operation")


def _not_deterministic(case: Case) -> bool:
    op = case.found.ops[0]
    return case.root.kind == "operation" and op is not None and is_listed(op, case.tape)


def _written_meanwhile(case: Case) -> Hint | None:
    """Return the last thread that was started before, and still runs, where nothing else writes what was read."""
    if case.root.kind not in ("operation", "outside") or _not_deterministic(case):
        return None
    place = case.found.step.count, case.found.place
    threads = [tap for tap in case.tape.taps if tap.kind == "thread" and (tap.step, tap.op) <= place]
    last = max(threads, key=lambda tap: (tap.step, tap.op), default=None)
    return None if last is None else Hint("thread", last.line, last.said, 0.0, last)


def _unfilled(case: Case) -> Hint | None:
    return case.hint("empty") if case.root.kind in ("made", "outside") else None


UNINITIALISED = Row(
    "uninitialised",
    "Memory is used that nobody has filled: it holds what was there before.",
    "Make it with torch.zeros, or fill all of it before it is read.",
    interventions.DETERMINISTIC,
    of_kind("uninitialised"),
)

UNFILLED_ARRAY = Row(
    "unfilled-array",
    "An array of numpy.empty is used that was not filled everywhere: it holds what was there before.",
    "Make it with numpy.zeros or numpy.full, or fill all of it before it is read.",
    interventions.MEMORY,
    _unfilled,
)

THREADS_DIFFER = Row(
    "threads-differ",
    "The two runs used different numbers of threads, which add in another order.",
    "Fix the number: torch.set_num_threads(N), or OMP_NUM_THREADS=N.",
    interventions.THREADS,
    _threads_differ,
)

OTHER_PROCESS = Row(
    "other-process",
    "Another process writes the same memory at the same time.",
    "Let each process train its own copy and average, or take turns.",
    None,
    _other_process,
)

OPERATION = Row(
    "operation",
    "The operation is not deterministic: its threads add in whatever order they come.",
    "Call torch.use_deterministic_algorithms(True), or run with one thread.",
    interventions.DETERMINISTIC,
    _not_deterministic,
)

WRITTEN_MEANWHILE = Row(
    "written-meanwhile",
    "A thread of the program runs at the same time, and memory was written, past torch, that an operation reads.",
    "Give the thread a copy of its own, or wait for it (join, a lock) before what it writes is read.",
    None,
    _written_meanwhile,
)

COMPILED = Row(
    "compiled",
    "A compiled kernel is not deterministic: its threads add in whatever order they come.",
    "Call torch.use_deterministic_algorithms(True) before it is compiled, or run with one thread.",
    interventions.DETERMINISTIC,
    of_kind("compiled"),
)
