"""What is other after a step from equal gradients: settings, the update, buffers, copies, the length."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from lastbit.dynamics.rounding import unit_roundoff
from lastbit.launch.forced.table import Mismatch, Role
from lastbit.report.formatting import amplification, count, number, plural
from lastbit.stats.forced_flags import LIMITS, Flag, bias_of, buffer_flags, update_flags
from lastbit.stats.rounding_unit import RoundingUnit
from lastbit.studies.same.evidence import Evidence
from lastbit.studies.same.findings import Finding, What

__all__ = ["in_buffers", "in_copies", "in_settings", "in_updates", "unfelt_switches"]

_HOW = ("foreach", "fused", "capturable", "differentiable")
"""Options of optimizers that say how an update is computed, and not which."""

_SCHEDULED = ("lr", "initial_lr", "max_lr", "min_lr")

_ALIKE = 1e-6
"""Relative difference up to which two settings are one: a learning rate that was kept in float32."""

_SECOND = ("exp_avg_sq", "max_exp_avg_sq", "square_avg")
"""Second moments, whose rounding leans more to one side."""

_ALONG = 0.9
"""Cosine from which a difference is along something."""

_FADED = 0.2
"""A bias that is down to this share of what it was in the first step is one of the first steps."""


def in_settings(evidence: Evidence) -> list[Finding]:
    """Return what the list of mismatches says: initial weights, hyper-parameters, counters, states, the length."""
    kinds: dict[str, What] = {"initial weights": "initial_weights", "counter": "counter", "length": "length"}
    found: list[Finding] = []
    unfelt = unfelt_switches(evidence)
    groups: dict[tuple[str, str], list[Mismatch]] = {}
    for one in evidence.mismatches:
        if one.what in ("hyper-parameter", "state", *kinds) and not (_alike(one) or one in unfelt):
            name = "" if one.what in ("initial weights", "length") else one.name
            groups.setdefault((one.what, name), []).append(one)
    for (what, _), several in groups.items():
        first = min(several, key=lambda one: one.step)
        kind = kinds.get(what, "schedule" if _last(first.name) in _SCHEDULED else "optimizer")
        names = tuple(dict.fromkeys(one.name for one in several))
        found.append(
            Finding(
                what=kind,
                step=first.step,
                steps=len({one.step for one in several}),
                tensor="" if what == "length" else first.name,
                tensors=names if what != "length" else (),
                said=_said(what, first, len(names)),
            )
        )
    return found


def unfelt_switches(evidence: Evidence) -> list[Mismatch]:
    """Return the settings that are true in one and false in the other, where every update agrees to rounding.

    Such a setting says which formula is applied. An optimizer written out by hand may apply it without its switch: what
    counts is what was done to the weights. A number that differs, as another epsilon, counts however little it does.
    """
    switches = [
        one
        for one in evidence.mismatches
        if one.what == "hyper-parameter" and {one.reference, one.candidate} == {"True", "False"} and not _alike(one)
    ]
    return [] if switches and in_updates(evidence, ()) else switches


def _last(name: str) -> str:
    """Return the last word of a setting's name: `group 0, lr` is `lr`."""
    return name.replace(",", " ").replace(".", " ").replace(":", " ").split()[-1] if name.split() else ""


def _alike(one: Mismatch) -> bool:
    """Tell whether two settings say the same: how an update is computed, or a number to the digits of float32."""
    if one.what != "hyper-parameter":
        return False
    if _last(one.name) in _HOW:
        return True
    try:
        here, there = float(one.reference), float(one.candidate)
    except ValueError:
        return False
    return math.isclose(here, there, rel_tol=_ALIKE)


def _said(what: str, one: Mismatch, names: int) -> str:
    if what == "initial weights":
        more = f", like {plural(names - 1, 'other tensor')}" if names > 1 else ""
        return f"the weights before the first step are others{more}"
    if what == "length":
        return f"the reference {one.reference} and the candidate {one.candidate}"
    here, there = _short(one.reference, one.candidate), _short(one.candidate, one.reference)
    return f"{here} in the reference, {there} in the candidate"


def _short(value: str, other: str) -> str:
    """Return a number in as few digits as tell it from the other."""
    try:
        numbers = float(value), float(other)
    except ValueError:
        return value
    for digits in range(4, 17):
        short, beside = (number(one, digits) for one in numbers)
        if short != beside:
            return short if len(short) < len(value) else value
    return value


def in_updates(evidence: Evidence, settings: Sequence[Finding]) -> list[Finding]:
    """Return what is other in weights and states after a step, where no setting that was found explains it."""
    columns = evidence.columns(Role.WEIGHT, Role.STATE)
    limits = np.array([_bias_limit(evidence.tensors[place].name) for place in columns])
    flags = _flags(evidence, columns, limits)
    caused = [one.step for one in settings if one.what in ("schedule", "optimizer", "counter")]
    if not flags or (caused and min(caused) <= min(int(evidence.steps[flag.first]) for flag in flags)):
        return []
    states = [flag for flag in flags if evidence.tensors[flag.tensor].role == Role.STATE]
    first = min(flags, key=lambda flag: (flag.first, evidence.tensors[flag.tensor].role != Role.STATE))
    said = _state_words(evidence, states) if states else _weight_words(evidence, flags)
    names = tuple(evidence.tensors[flag.tensor].name for flag in flags)
    rows = (evidence.worst[:, [flag.tensor for flag in flags]] > LIMITS.worst).any(axis=1)
    return [
        Finding(
            what="optimizer",
            step=int(evidence.steps[first.first]),
            steps=int(rows.sum()) or len(evidence.steps),
            tensor=evidence.tensors[first.tensor].name,
            tensors=names,
            said=said,
        )
    ]


def _bias_limit(name: str) -> float:
    return LIMITS.second_bias if name.rpartition(".")[2] in _SECOND else LIMITS.update_bias


def _flags(evidence: Evidence, columns: Sequence[int], limits: np.ndarray) -> list[Flag]:
    lost = np.where((evidence.unequal > 0) & np.isnan(evidence.worst), np.inf, evidence.worst)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = evidence.difference[:, columns] / evidence.change[:, columns]
    flags = update_flags(lost[:, columns], evidence.bias[:, columns], share, limits)
    return [
        Flag(tensor=columns[one.tensor], first=one.first, measure=one.measure, value=one.value, limit=one.limit)
        for one in flags
    ]


def _state_words(evidence: Evidence, flags: Sequence[Flag]) -> str:
    kinds = sorted({evidence.tensors[flag.tensor].name.rpartition(".")[2] for flag in flags})
    return f"the optimizer's {' and '.join(kinds)} is another after a step from equal gradients"


def _weight_words(evidence: Evidence, flags: Sequence[Flag]) -> str:
    """Return what of the update: a multiple of the weight, of the update itself, or neither."""
    worst = max(flags, key=lambda flag: flag.value)
    of_weight, along_weight = _leans(evidence, worst.tensor, evidence.size)
    shares = evidence.bias[:, worst.tensor]
    shares = shares[np.isfinite(shares)]
    whose = _whose([evidence.tensors[flag.tensor].name for flag in flags], len(evidence.columns(Role.WEIGHT)))
    with np.errstate(divide="ignore", invalid="ignore"):
        along_update = np.abs(evidence.bias[:, worst.tensor]) * evidence.change[:, worst.tensor]
        along_update = along_update / evidence.difference[:, worst.tensor]
    straight = float(np.nanmedian(along_update)) if np.isfinite(along_update).any() else 0.0
    if along_weight > _ALONG and along_weight > straight:
        share = number(of_weight, 2)
        return f"{whose} differs by {share} times the weight itself in a step, as by another weight decay"
    if len(shares) > 4 and abs(shares[-1]) < _FADED * abs(shares[0]) and abs(shares[0]) > LIMITS.update_bias:
        times = amplification(1.0 + float(shares[0]))
        return f"{whose} is {times} times as large in the first step and less so later, as without bias correction"
    if straight > _ALONG:
        middle, _ = bias_of(shares)
        return f"{whose} is {amplification(1.0 + middle)} times as large, from equal gradients and settings"
    return (
        f"{whose} from equal gradients and settings is another, by up to {number(worst.value, 2)} units of rounding "
        "of an element, as by another epsilon or formula"
    )


def _whose(names: Sequence[str], of: int) -> str:
    few = 0 < len(names) < of and all(name.endswith("bias") for name in names)
    return "the update of biases alone" if few else "the update"


def _leans(evidence: Evidence, column: int, onto: np.ndarray) -> tuple[float, float]:
    projection, difference, size = evidence.projection[:, column], evidence.difference[:, column], onto[:, column]
    known = (size > 0) & (difference > 0)
    if not known.any():
        return 0.0, 0.0
    share = projection[known] / size[known] ** 2
    cosine = np.abs(projection[known]) / size[known] / difference[known]
    return float(np.median(share)), float(np.median(cosine))


def in_copies(evidence: Evidence) -> list[Finding]:
    """Return the copies of weights, such as running averages, that were updated otherwise."""
    columns = evidence.columns(Role.COPY)
    flags = _flags(evidence, columns, np.array([_copy_limit(evidence, place) for place in columns]))
    if not flags:
        return []
    first = min(flags, key=lambda flag: flag.first)
    share = float(evidence.bias[first.first, first.tensor])
    said = "its update is another"
    if abs(share + 1.0) < 0.01:
        said = "it was not updated, or its update came too late"
    elif math.isfinite(share) and abs(share) > _copy_limit(evidence, first.tensor):
        said = f"its update is {amplification(1.0 + share)} times as large"
    rows = (evidence.worst[:, [flag.tensor for flag in flags]] > LIMITS.worst).any(axis=1)
    return [_of_flags(evidence, "copy", flags, first, said, int(rows.sum()) or len(evidence.steps))]


def _copy_limit(evidence: Evidence, column: int) -> float:
    """Return the bias from which the update of a copy is another.

    An average `d a + (1 - d) w` holds its decay to the digits of its format: rounding `d` by a unit roundoff u moves
    the update by `u |a|`, the same way in every step, which is `u |a| / |update|` of it.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = evidence.size[:, column] / evidence.change[:, column]
    known = ratio[np.isfinite(ratio)]
    roundoff = unit_roundoff(getattr(torch, evidence.tensors[column].dtype))
    return max(LIMITS.update_bias, roundoff * float(np.median(known))) if len(known) else LIMITS.update_bias


def in_buffers(evidence: Evidence) -> list[Finding]:
    """Return the buffers that were updated otherwise."""
    columns = evidence.columns(Role.BUFFER)
    unit = RoundingUnit(evidence.unit.sigma[:, columns], evidence.unit.noise[columns])
    difference = np.where((evidence.unequal > 0) & np.isnan(evidence.difference), np.inf, evidence.difference)[
        :, columns
    ]
    flags = [
        Flag(tensor=columns[one.tensor], first=one.first, measure=one.measure, value=one.value, limit=one.limit)
        for one in buffer_flags(difference, unit)
    ]
    if not flags:
        return []
    first = min(flags, key=lambda flag: (flag.first, -flag.value))
    said = f"the buffer is off by {count(first.value)} units of rounding"
    rows = (evidence.units[:, [flag.tensor for flag in flags]] > LIMITS.median).any(axis=1)
    return [_of_flags(evidence, "buffer", flags, first, said, int(rows.sum()))]


def _of_flags(evidence: Evidence, what: What, flags: Sequence[Flag], first: Flag, said: str, steps: int) -> Finding:
    return Finding(
        what=what,
        step=int(evidence.steps[first.first]),
        steps=steps,
        tensor=evidence.tensors[first.tensor].name,
        tensors=tuple(evidence.tensors[flag.tensor].name for flag in flags),
        said=said,
    )
