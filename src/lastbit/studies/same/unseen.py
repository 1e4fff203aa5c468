"""What was not compared, in sentences: a reader must know what an answer does not speak of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from lastbit.launch.forced.table import Role
from lastbit.report.formatting import count, plural
from lastbit.studies.same.evidence import Evidence
from lastbit.studies.same.gradients import loss_alone

__all__ = ["not_compared"]

_NAMED = 6
"""Names that a sentence has room for."""


def not_compared(evidence: Evidence, troubles: Sequence[str]) -> tuple[str, ...]:
    """Return what of the two trainings no tensor of the tables speaks of.

    Args:
        evidence: what was compared.
        troubles: what could not be run.
    """
    facts, found = evidence.facts, []
    every = int(facts.get("every", 1))
    if every > 1:
        found.append(f"Steps between: one in {count(every)} was forced and compared; a defect of few steps is missed.")
    if not evidence.columns(Role.LOSS):
        found.append("The loss: none was seen on its way into a backward pass.")
    if not evidence.columns(Role.BUFFER):
        found.append("Buffers: no module with any was found; name them by --objects FILE:NAME where there are some.")
    if not evidence.columns(Role.COPY):
        found.append("Copies of the weights, such as averages: none was found; name them by --objects FILE:NAME.")
    if left := facts.get("left out"):
        found.append(f"Tensors that hold no floating-point numbers, or are sparse: {_named(left)}.")
    noisy = [one.name for one, noise in zip(evidence.tensors, evidence.unit.noise, strict=True) if noise]
    if noisy:
        found.append(
            f"{plural(len(noisy), 'tensor is', 'tensors are')} rounding alone, about zero in exact arithmetic, and "
            f"held to four times the limit: {_named(noisy)}."
        )
    if not np.isfinite(evidence.double).any():
        found.append("Cancellation inside operations: no run in double precision measured it.")
    if alone := loss_alone(evidence):
        found.append(
            f"The loss is another in {plural(alone, 'step')} where the gradients agree: a constant or a scale that "
            "trains nothing."
        )
    found.append("What happens after the last optimizer step, such as evaluation, and what is not PyTorch's.")
    return (*found, *troubles)


def _named(names: Iterable[str]) -> str:
    known = list(names)
    more = [f"and {count(len(known) - _NAMED)} more"] if len(known) > _NAMED + 1 else []
    return ", ".join([*known[: _NAMED if more else len(known)], *more])
