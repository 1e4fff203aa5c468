"""What cannot be the same by nature, with what makes it comparable: said before anything is called a defect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lastbit.launch.forced.table import Mismatch, Role
from lastbit.studies.same.evidence import Evidence
from lastbit.studies.same.findings import Finding
from lastbit.studies.same.gradients import everywhere, other_batches
from lastbit.studies.same.updates import unfelt_switches

__all__ = ["Nature", "by_nature"]

_FAR = 1e-4
"""Relative difference of gradients from which no formula is rearranged: something else was computed."""


@dataclass(frozen=True, kw_only=True)
class Nature:
    """A difference that is no defect."""

    what: str
    cure: str


_ACCUMULATED = Nature(
    what="Does one of the two cut its batches into parts (gradient accumulation, more devices)? The network has batch "
    "norm, whose statistics are then those of each part: gradients are others by nature, by 0.4 to 9% where it was "
    "measured.",
    cure="Compare both with the same parts, or with batch norm in evaluation mode or replaced by group norm.",
)
_REORDERED = Nature(
    what="The candidate's batches hold other examples, or the same in another order. With dropout each example then "
    "meets the mask of another.",
    cure="Give both the same batches in the same order, or set dropout to 0 in both.",
)
_MASKS = Nature(
    what="The candidate dropped others, at another rate or by other random numbers. At the same rate, masks are others "
    "by nature in torch.compile, which draws from a generator of its own, and with channels-last, which fills them in "
    "another order.",
    cure="Compare the rates first. Where they are the same, set torch._inductor.config.fallback_random = True (in the "
    "environment TORCHINDUCTOR_FALLBACK_RANDOM=1), or set dropout to 0 in both; then what is left is rounding or a "
    "defect.",
)


def by_nature(evidence: Evidence, findings: Sequence[Finding]) -> tuple[Nature, ...]:
    """Return what is other and no defect: switches that no update felt, and what may explain the gradients."""
    switches = {one.name: one for one in unfelt_switches(evidence)}
    return (*map(_unfelt, switches.values()), *_of_gradients(evidence, findings))


def _unfelt(one: Mismatch) -> Nature:
    return Nature(
        what=f"{one.name} is {one.reference} in the reference and {one.candidate} in the candidate, and every update "
        "agrees to rounding: the optimizers do the same by other switches.",
        cure="Nothing needs to be done.",
    )


def _of_gradients(evidence: Evidence, findings: Sequence[Finding]) -> tuple[Nature, ...]:
    """Return what may explain that the gradients of a whole network are others step after step."""
    in_gradients = [one for one in findings if one.what in ("gradient", "data") and 2 * one.steps > len(evidence.steps)]
    if not in_gradients or not everywhere(evidence, in_gradients) or not _far(evidence):
        return ()
    layers = {str(one) for one in evidence.facts.get("layers", ())}
    drops = any("Dropout" in one for one in layers)
    found = []
    if 2 * other_batches(evidence).sum() > len(evidence.steps):
        found += [_REORDERED] if drops else []
    elif drops or _drew_otherwise(evidence):
        found.append(_MASKS)
    # Other parts of a batch show in its statistics first, where those are compared.
    known = any(one.role == Role.BUFFER for one in evidence.tensors)
    if _has_batch_norm(evidence, layers) and (not known or any(one.what == "buffer" for one in findings)):
        found.append(_ACCUMULATED)
    return tuple(found)


def _far(evidence: Evidence) -> bool:
    columns = evidence.columns(Role.GRADIENT)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = evidence.difference[:, columns] / evidence.size[:, columns]
    known = relative[np.isfinite(relative)]
    return bool(len(known)) and float(np.median(known)) > _FAR


def _drew_otherwise(evidence: Evidence) -> bool:
    steps = {one.step for one in evidence.mismatches if one.what == "generator"}
    return 2 * len(steps & set(evidence.steps.tolist())) > len(evidence.steps)


def _has_batch_norm(evidence: Evidence, layers: set[str]) -> bool:
    running = [one for one in evidence.tensors if one.role == Role.BUFFER and one.name.endswith("running_var")]
    return bool(running) or any("BatchNorm" in one for one in layers)
