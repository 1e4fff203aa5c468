"""Cause and cure, from the kind of the root and from what the two runs met otherwise: the rows in their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lastbit.launch.site.lines import packaged
from lastbit.studies.doctor.causes import draws, names, operations, order, outside, seeds
from lastbit.studies.doctor.causes.case import Case, Row
from lastbit.studies.doctor.diagnosis import Cause
from lastbit.studies.doctor.evidence import Hint

__all__ = ["CAUSES", "causes_of"]

CAUSES: tuple[Row, ...] = (
    operations.UNINITIALISED,
    operations.UNFILLED_ARRAY,
    draws.DRAWS_IN_TURN,
    seeds.SEED_FALLBACK,
    seeds.SEED_CLOCK,
    seeds.SEED_ENTROPY,
    seeds.SEED_PROCESS,
    seeds.SEED_VARIES,
    draws.SEEDED_LATE,
    draws.TORCH_UNSEEDED,
    seeds.GENERATOR_SEED,
    draws.DRAW_EXTRA,
    draws.DRAW_MOVED,
    operations.THREADS_DIFFER,
    operations.OTHER_PROCESS,
    operations.OPERATION,
    operations.WRITTEN_MEANWHILE,
    operations.COMPILED,
    order.COLLECTIVE_ORDER,
    order.WORKER_ORDER,
    order.COMPLETION_ORDER,
    order.THREAD_ORDER,
    draws.NUMPY_UNSEEDED,
    draws.RANDOM_UNSEEDED,
    seeds.DEFAULT_RNG,
    seeds.RANDOM_RANDOM,
    draws.DRAWS_DIFFER,
    names.RANDOM_NAMES,
    outside.ENTROPY,
    outside.CLOCK,
    outside.PROCESS_ID,
    order.FOLDER_ORDER,
    outside.FILE_LEFT,
    draws.NUMPY_IN_LIBRARY,
    draws.RANDOM_IN_LIBRARY,
    outside.MACHINE_STATE,
    outside.NETWORK,
    order.HASH_ORDER,
    order.OBJECT_ORDER,
    order.ADDRESS_ORDER,
)
"""Those that the root itself shows come first; the first that holds is the cause."""


def causes_of(case: Case) -> tuple[Cause, ...]:
    """Return the causes that the evidence fits, the likeliest first; none where it fits none.

    The first is the cause. Should it be refuted, the others are those that fit too: further rows, and then those that
    hold without the hints that fit best.
    """
    found: dict[str, Cause] = {}
    for place in range(len(case.hints) + 1):
        for cause in _holding(replace(case, hints=case.hints[place:])):
            found.setdefault(cause.id, cause)
    return tuple(found.values())


def _holding(case: Case) -> Iterator[Cause]:
    for row in CAUSES:
        speaks = row.holds(case)
        if speaks:
            line = speaks.line if isinstance(speaks, Hint) else None
            own = line is not None and not packaged(line.path)
            said = row.said.replace("{said}", speaks.said) if isinstance(speaks, Hint) else row.said
            yield Cause(row.id, said, row.cure, row.intervention, line if own else None)
