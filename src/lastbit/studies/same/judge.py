"""From tables to an answer: the same bit for bit, the same up to rounding, another arithmetic, or another training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lastbit.launch.forced.table import Role
from lastbit.stats.forced_flags import LIMITS, bias_of, staircase_ratio
from lastbit.studies.same.evidence import Evidence
from lastbit.studies.same.findings import Finding, ordered
from lastbit.studies.same.gradients import everywhere, hidden_in_gradients, in_gradients, real_gradients
from lastbit.studies.same.updates import in_buffers, in_copies, in_settings, in_updates

__all__ = ["ENOUGH", "Answer", "Judgement", "TensorRow", "judge", "staircase_needed"]

Answer = Literal["bit_for_bit", "same_up_to_rounding", "other_arithmetic", "different", "undecided", "not_reproducible"]

ENOUGH = 8
"""Steps below which a median over them says too little."""


@dataclass(frozen=True, kw_only=True)
class TensorRow:
    """One tensor over all steps."""

    name: str
    role: str
    elements: int
    dtype: str
    median: float | None
    """Of its differences in units of rounding; of weights, states and copies of the worst element's."""
    worst: float | None
    worst_step: int | None
    bias: float | None
    """Median share of the gradient, or of what the step changed, that the difference is."""
    unequal_steps: int
    """At which some bit differs."""
    noise: bool
    """Whether rounding alone makes it up: in exact arithmetic it would be about zero."""
    flagged: bool


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the tables say."""

    answer: Answer
    findings: tuple[Finding, ...]
    """What is other by more than rounding, the first cause first."""
    tensors: tuple[TensorRow, ...]
    staircase: float | None
    """How much further the candidate's gradients move than the reference's when the weights move by 2^-18; None where
    it was not asked."""
    widely: bool
    """Whether most gradients differ by more than rounding, so that another arithmetic may be why."""


def judge(evidence: Evidence) -> Judgement:
    """Return the answer that the tables give."""
    settings = in_settings(evidence)
    after = [*settings, *in_updates(evidence, settings), *in_copies(evidence)]
    before, buffers = in_gradients(evidence), in_buffers(evidence)
    ratio = None if evidence.moved is None else _staircase(evidence)
    widely = _may_be_coarser(evidence, before)
    coarser = ratio is not None and ratio > LIMITS.staircase and widely
    found = [*after, *hidden_in_gradients(evidence)] if coarser else [*after, *before, *buffers]
    findings = ordered(found)
    return Judgement(
        answer=_answer(evidence, findings, coarser=coarser),
        findings=findings,
        tensors=_rows(evidence, findings),
        staircase=None if ratio is None or math.isnan(ratio) else ratio,
        widely=widely,
    )


def staircase_needed(evidence: Evidence) -> bool:
    """Tell whether gradients differ so widely that another arithmetic may be why."""
    return _may_be_coarser(evidence, in_gradients(evidence))


def _may_be_coarser(evidence: Evidence, findings: Sequence[Finding]) -> bool:
    """Tell whether most gradients differ, step after step, and neither by a factor nor for other data."""
    known = [one for one in findings if one.what == "gradient" and 2 * one.steps > len(evidence.steps)]
    return everywhere(evidence, known)


def _answer(evidence: Evidence, findings: Sequence[Finding], *, coarser: bool) -> Answer:
    if evidence.control is not None:
        return "not_reproducible"
    if findings:
        return "different"
    if coarser:
        return "other_arithmetic"
    if not len(evidence.steps):
        return "undecided"
    if evidence.bit_for_bit:
        return "bit_for_bit"
    return "same_up_to_rounding" if len(evidence.steps) >= ENOUGH else "undecided"


def _staircase(evidence: Evidence) -> float:
    assert evidence.moved is not None
    columns = real_gradients(evidence)
    return staircase_ratio(evidence.moved[0][:, columns], evidence.moved[1][:, columns])


def _rows(evidence: Evidence, findings: Sequence[Finding]) -> tuple[TensorRow, ...]:
    units = evidence.units
    by_role = {
        Role.GRADIENT: ("gradient", "gradient_scale", "data"),
        Role.LOSS: (),
        Role.WEIGHT: ("optimizer", "schedule", "initial_weights"),
        Role.STATE: ("optimizer", "schedule"),
        Role.BUFFER: ("buffer",),
        Role.COPY: ("copy",),
    }
    rows = []
    for place, tensor in enumerate(evidence.tensors):
        column = units[:, place]
        known = ~np.isnan(column)
        shares = evidence.bias[:, place]
        if tensor.role in (Role.GRADIENT, Role.LOSS):
            with np.errstate(divide="ignore", invalid="ignore"):
                shares = evidence.projection[:, place] / evidence.size[:, place] ** 2
        worst = int(np.nanargmax(column)) if known.any() else None
        rows.append(
            TensorRow(
                name=tensor.name,
                role=str(tensor.role),
                elements=tensor.elements,
                dtype=tensor.dtype,
                median=float(np.median(column[known])) if known.any() else None,
                worst=None if worst is None else float(column[worst]),
                worst_step=None if worst is None else int(evidence.steps[worst]),
                bias=bias_of(shares)[0] if np.isfinite(shares).any() else None,
                unequal_steps=int((evidence.unequal[:, place] > 0).sum()),
                noise=bool(evidence.unit.noise[place]),
                flagged=any(one.what in by_role[tensor.role] and tensor.name in one.tensors for one in findings),
            )
        )
    return tuple(rows)
