"""Cause and cure, from the kind of the root and from what the two runs met otherwise: the rows in their order."""

from __future__ import annotations

from lastbit.studies.doctor.causes import draws, operations, order, outside, seeds
from lastbit.studies.doctor.causes.case import Case, Row
from lastbit.studies.doctor.diagnosis import Cause
from lastbit.studies.doctor.evidence import Hint

__all__ = ["CAUSES", "cause_of"]

CAUSES: tuple[Row, ...] = (
    operations.UNINITIALISED,
    draws.DRAWS_IN_TURN,
    seeds.SEED_CLOCK,
    seeds.SEED_ENTROPY,
    seeds.SEED_PROCESS,
    seeds.SEED_VARIES,
    draws.SEEDED_LATE,
    draws.TORCH_UNSEEDED,
    seeds.GENERATOR_SEED,
    draws.DRAW_MOVED,
    operations.THREADS_DIFFER,
    operations.OTHER_PROCESS,
    operations.OPERATION,
    operations.COMPILED,
    order.COLLECTIVE_ORDER,
    order.WORKER_ORDER,
    order.THREAD_ORDER,
    draws.NUMPY_UNSEEDED,
    draws.RANDOM_UNSEEDED,
    seeds.DEFAULT_RNG,
    seeds.RANDOM_RANDOM,
    draws.DRAWS_DIFFER,
    outside.ENTROPY,
    outside.CLOCK,
    outside.PROCESS_ID,
    order.FOLDER_ORDER,
    outside.FILE_LEFT,
    outside.NETWORK,
    order.HASH_ORDER,
    order.ADDRESS_ORDER,
    draws.NUMPY_IN_LIBRARY,
    draws.RANDOM_IN_LIBRARY,
)
"""Those that the root itself shows come first; the first that holds is the cause."""


def cause_of(case: Case) -> Cause | None:
    """Return the cause that the evidence points at; None where it points at none."""
    for row in CAUSES:
        speaks = row.holds(case)
        if speaks:
            line = speaks.line if isinstance(speaks, Hint) else None
            own = line is not None and "site-packages" not in line.path
            return Cause(row.id, row.said, row.cure, row.intervention, line if own else None)
    return None
