"""Causes that lie in an operation, or in memory that others write at the same time."""

from __future__ import annotations

from lastbit.studies.doctor import interventions
from lastbit.studies.doctor.causes.case import Case, Row, of_kind
from lastbit.studies.doctor.steps import base_of

__all__ = ["COMPILED", "OPERATION", "OTHER_PROCESS", "THREADS_DIFFER", "UNINITIALISED"]


_NOT_DETERMINISTIC = frozenset(
    ("index_put", "index_put_", "_index_put_impl_", "index_add", "index_add_", "scatter_add", "scatter_add_")
)
"""Of themselves, on a CPU with several threads or on a GPU."""


def _threads_differ(case: Case) -> bool:
    first, second = case.found.ops
    computed = case.root.kind in ("operation", "compiled")
    return computed and first is not None and second is not None and first.threads != second.threads


def _other_process(case: Case) -> bool:
    op = case.found.ops[0]
    alone = op is not None and base_of(op) in _NOT_DETERMINISTIC
    return case.siblings and not alone and case.root.kind in ("outside", "order", "operation")


UNINITIALISED = Row(
    "uninitialised",
    "Memory is used that nobody has filled: it holds what was there before.",
    "Make it with torch.zeros, or fill all of it before it is read.",
    interventions.DETERMINISTIC,
    of_kind("uninitialised"),
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
    of_kind("operation"),
)

COMPILED = Row(
    "compiled",
    "A compiled kernel is not deterministic: its threads add in whatever order they come.",
    "Call torch.use_deterministic_algorithms(True) before it is compiled, or run with one thread.",
    interventions.DETERMINISTIC,
    of_kind("compiled"),
)
