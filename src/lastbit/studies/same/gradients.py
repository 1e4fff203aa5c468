"""What is other in the gradients, computed from equal weights: a scale, a part of the network, the data of a step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lastbit.launch.forced.table import Role
from lastbit.report.formatting import amplification, count, number, plural
from lastbit.stats.forced_flags import LIMITS, Flag, gradient_flags, hidden_bias, step_flags
from lastbit.stats.rounding_unit import RoundingUnit
from lastbit.studies.same.evidence import Evidence, Floats
from lastbit.studies.same.findings import Finding, What

__all__ = ["everywhere", "hidden_in_gradients", "in_gradients", "loss_alone", "other_batches"]

Bools = NDArray[np.bool_]

_ALONG = 0.9
"""Cosine of difference and gradient from which the difference is a scale."""

_ALIKE = 0.05
"""Up to this share of what they are away from 1, factors of several gradients are one."""

_UNCLIPPED = 0.999
"""Share of the largest norm of all gradients below which a step's is not clipped to it."""

_CLEARLY = 3.0
"""Times by which the one of two parts moves more in such steps that is their cause."""

_COUNTED = 100.0
"""Units of rounding from which they are counted in whole ones."""

_ODD = 8.0
"""Times a gradient's usual difference, of all gradients at once: inside a coarser arithmetic, other data."""


def real_gradients(evidence: Evidence) -> list[int]:
    """Return the columns of gradients that are no noise by themselves."""
    return [place for place in evidence.columns(Role.GRADIENT) if not evidence.unit.noise[place]]


def in_gradients(evidence: Evidence) -> list[Finding]:
    """Return what is other in loss and gradients by more than rounding."""
    at, batches = _steps(evidence), other_batches(evidence)
    found = _data(evidence, at & batches)
    kept = ~(at & batches)
    columns = evidence.columns(Role.GRADIENT)
    flags = [] if kept.sum() < 1 else _placed(columns, _flags(evidence, columns, kept), kept)
    found += _of_tensors(evidence, flags, kept)
    found += _not_finite(evidence, columns)
    found += [
        Finding(
            what="gradient",
            step=int(evidence.steps[0]),
            steps=len(evidence.steps),
            tensor=name,
            tensors=evidence.missing,
            said="has no gradient where the reference has one",
        )
        for name in evidence.missing[:1]
    ]
    real = set(real_gradients(evidence))
    explained = bool(real) and {flag.tensor for flag in flags} >= real
    return found if explained else found + _single_steps(evidence, at & kept)


def hidden_in_gradients(evidence: Evidence) -> list[Finding]:
    """Return what is other in gradients that another arithmetic computed: a lean to one side, the data of a step."""
    columns = real_gradients(evidence)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = evidence.difference[:, columns] / evidence.size[:, columns]
    usual = np.nanmedian(relative, axis=0) if len(relative) else np.empty(0)
    odd = (relative > _ODD * usual).all(axis=1) & other_batches(evidence) if columns else np.zeros(0, bool)
    kept = ~odd
    flags = hidden_bias(*_norms(evidence, columns, kept))
    return _data(evidence, odd) + _of_tensors(evidence, _placed(columns, flags, kept), kept)


def other_batches(evidence: Evidence) -> Bools:
    """Return at which of the compared steps the candidate was given other batches."""
    steps = [one.step for one in evidence.mismatches if one.what == "batch"]
    return np.isin(evidence.steps, steps)


def everywhere(evidence: Evidence, findings: Sequence[Finding]) -> bool:
    """Tell whether what was found in gradients is in most of them, so that it may be another arithmetic."""
    real = {evidence.tensors[place].name for place in real_gradients(evidence)}
    flagged = {name for one in findings for name in one.tensors}
    return bool(real) and 2 * len(real & flagged) >= len(real)


def loss_alone(evidence: Evidence) -> int:
    """Return at how many steps the loss is other while the gradients agree: another constant, or of another batch."""
    return int((_loss_units(evidence) > LIMITS.loss).sum() - _off(evidence).sum())


def _loss_units(evidence: Evidence) -> Floats:
    losses = evidence.columns(Role.LOSS)
    return evidence.units[:, losses].max(axis=1) if losses else np.full(len(evidence.steps), np.nan)


def _off(evidence: Evidence) -> Bools:
    """Return at which steps the loss is other and so are the gradients, by their median."""
    units, off = evidence.units[:, real_gradients(evidence)], _loss_units(evidence) > LIMITS.loss
    if units.shape[1]:
        off &= np.median(np.where(np.isnan(units), 0.0, units), axis=1) > LIMITS.median
    return off


def _steps(evidence: Evidence) -> Bools:
    """Return at which steps everything is other."""
    return step_flags(evidence.units[:, real_gradients(evidence)], np.where(_off(evidence), np.inf, np.nan))


def _flags(evidence: Evidence, columns: list[int], kept: Bools) -> list[Flag]:
    unit = RoundingUnit(evidence.unit.sigma[kept][:, columns], evidence.unit.noise[columns])
    return gradient_flags(*_norms(evidence, columns, kept), unit)


def _norms(evidence: Evidence, columns: list[int], kept: Bools | slice = slice(None)) -> tuple[Floats, Floats, Floats]:
    """Return difference, projection and size of some columns and steps."""
    return (
        evidence.difference[kept][:, columns],
        evidence.projection[kept][:, columns],
        evidence.size[kept][:, columns],
    )


def _placed(columns: Sequence[int], flags: Sequence[Flag], kept: Bools) -> list[Flag]:
    """Return flags of some columns and rows as those of the whole table."""
    rows = np.flatnonzero(kept)
    return [
        Flag(
            tensor=columns[flag.tensor],
            first=int(rows[flag.first]),
            measure=flag.measure,
            value=flag.value,
            limit=flag.limit,
        )
        for flag in flags
    ]


def _data(evidence: Evidence, at: Bools) -> list[Finding]:
    return _of_steps(evidence, at, "data", "the batch is another, and so are the loss and every gradient")


def _single_steps(evidence: Evidence, at: Bools) -> list[Finding]:
    rescaled = at & _rescaled(evidence)
    others = at & ~rescaled
    often = 2 * others.sum() > len(others)
    cause = "" if often else ", as from other examples or other random draws, though no loader gave another batch"
    longer = f"every gradient is longer or shorter in {plural(int(rescaled.sum()), 'step')}, as clipping makes it"
    return [
        *_of_steps(evidence, rescaled, "gradient_scale", longer),
        *_of_steps(
            evidence,
            others,
            "gradient" if often else "data",
            f"the loss and the gradients of the whole network are others{cause}",
        ),
    ]


def _rescaled(evidence: Evidence) -> Bools:
    """Return at which steps each of several gradients differs along itself, as no other examples would have it."""
    columns = real_gradients(evidence)
    if len(columns) < 2:
        return np.zeros(len(evidence.steps), bool)
    difference, projection, size = _norms(evidence, columns)
    return np.asarray((np.abs(projection) > _ALONG * difference * size).all(axis=1))


def _of_steps(evidence: Evidence, at: Bools, what: What, said: str) -> list[Finding]:
    """Return what is other in the whole network at some steps; nothing where there are none."""
    rows = np.flatnonzero(at)
    if not len(rows):
        return []
    names = tuple(evidence.tensors[place].name for place in real_gradients(evidence))
    return [Finding(what=what, step=int(evidence.steps[rows[0]]), steps=len(rows), tensor="", tensors=names, said=said)]


def _not_finite(evidence: Evidence, columns: Sequence[int]) -> list[Finding]:
    lost = np.isposinf(evidence.units[:, columns]) & np.isfinite(evidence.size[:, columns])
    lost &= ~np.isfinite(evidence.difference[:, columns])
    if not lost.any():
        return []
    row = int(np.flatnonzero(lost.any(axis=1))[0])
    names = tuple(evidence.tensors[columns[place]].name for place in np.flatnonzero(lost[row]).tolist())
    return [
        Finding(
            what="gradient",
            step=int(evidence.steps[row]),
            steps=int(lost.any(axis=1).sum()),
            tensor=names[0],
            tensors=names,
            said="its gradient is not finite where the reference's is",
        )
    ]


def _of_tensors(evidence: Evidence, flags: Sequence[Flag], kept: Bools) -> list[Finding]:
    """Return what single tensors say step after step: scales, those alike together, and all others as one."""
    scaled: list[tuple[Flag, float]] = []
    other: list[tuple[Flag, float]] = []
    for flag in flags:
        share, along = _leans(evidence, flag.tensor, kept)
        (scaled if flag.measure == "bias" or along > _ALONG else other).append((flag, share))
    # The largest factor first: others may be what clipping makes of it.
    groups = sorted(_alike(scaled), key=lambda group: -abs(group[0][1]))
    if not other and _share_a_norm(evidence, groups):
        part, rest = _cause_first(evidence, groups, kept)
        return [_scale(evidence, part, kept, rest), _scale(evidence, rest, kept)]
    found = [_scale(evidence, group, kept) for group in groups]
    return found + ([_other(evidence, [flag for flag, _ in other], kept)] if other else [])


def _share_a_norm(evidence: Evidence, groups: Sequence[Sequence[tuple[Flag, float]]]) -> bool:
    """Tell whether one part of the network is longer and all the rest shorter, or the reverse, as clipping makes it.

    Where the norm of all gradients is clipped, a part that is scaled by c and the rest that is scaled by 1/c are the
    same gradients.
    """
    if len(groups) != 2 or groups[0][0][1] * groups[1][0][1] >= 0:
        return False
    return {flag.tensor for group in groups for flag, _ in group} >= set(real_gradients(evidence))


def _leans(evidence: Evidence, column: int, kept: Bools) -> tuple[float, float]:
    """Return the share of the gradient that the difference is, and the cosine between them: medians over the steps."""
    projection, size, difference = (
        getattr(evidence, name)[kept, column] for name in ("projection", "size", "difference")
    )
    known = (size > 0) & (difference > 0)
    if not known.any():
        return 0.0, 0.0
    projection, size, difference = projection[known], size[known], difference[known]
    return float(np.median(projection / size / size)), float(np.median(np.abs(projection) / size / difference))


def _alike(scaled: Sequence[tuple[Flag, float]]) -> list[list[tuple[Flag, float]]]:
    """Return tensors in groups of one factor."""
    groups: list[list[tuple[Flag, float]]] = []
    for one in sorted(scaled, key=lambda pair: pair[1]):
        last = groups[-1][0][1] if groups else np.nan
        if abs(one[1] - last) <= _ALIKE * max(abs(one[1]), abs(last)):
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _cause_first(
    evidence: Evidence, groups: Sequence[Sequence[tuple[Flag, float]]], kept: Bools
) -> list[Sequence[tuple[Flag, float]]]:
    """Return a part of the network that is scaled, and the rest that a clipped norm scales in return.

    In steps whose norm is below the others' largest nothing is clipped, and only what is scaled moves. Where there is
    no such step the two cannot be told apart, and what is in fewer modules is taken for the cause.
    """
    norm = np.sqrt(np.nansum(evidence.size[kept][:, evidence.columns(Role.GRADIENT)] ** 2, axis=1))
    free = norm < _UNCLIPPED * norm.max()
    if free.any():
        one, other = (np.nanmedian(np.abs(_shares(evidence, group[0][0].tensor, kept)[free])) for group in groups)
        if max(one, other) > _CLEARLY * min(one, other):
            return [*groups] if one > other else [*groups[::-1]]
    names = [[evidence.tensors[flag.tensor].name for flag, _ in group] for group in groups]
    modules = [len({name.rpartition(".")[0] for name in each}) for each in names]
    return [groups[place] for place in sorted((0, 1), key=lambda place: (modules[place], len(groups[place])))]


def _scale(
    evidence: Evidence,
    group: Sequence[tuple[Flag, float]],
    kept: Bools,
    beside: Sequence[tuple[Flag, float]] = (),
) -> Finding:
    """Return what is said of tensors of one factor: over the reference's, or over that of the rest of the network."""
    flags = [flag for flag, _ in group]
    share, each = float(np.median([share for _, share in group])), _shares(evidence, flags[0].tensor, kept)
    if beside:
        each = (1.0 + each) / (1.0 + _shares(evidence, beside[0][0].tensor, kept)) - 1.0
        share = float(np.nanmedian(each))
    shows = np.sign(share) * each > 0.5 * abs(share)
    # Next to the rest it shows in every step, clipped or not.
    first = int(evidence.steps[kept][shows.argmax()] if beside else evidence.steps[min(flag.first for flag in flags)])
    names = [evidence.tensors[flag.tensor].name for flag in flags]
    whole = {flag.tensor for flag in flags} >= set(real_gradients(evidence)) and len(flags) > 1
    times = f"{amplification(1.0 + share)} times the reference's"
    said = f"its gradient is {times}"
    if whole:
        said = f"every gradient is {times}{_and_the_loss(evidence, share, kept)}"
    elif len(names) > 1:
        said = f"its gradient, like {plural(len(names) - 1, 'other')}, is {times}"
    if beside:
        said += ", next to the rest of the network's, which a clipped norm makes longer or shorter in return"
    return Finding(
        what="gradient_scale",
        step=first,
        steps=int(shows.sum()),
        tensor="" if whole else names[0],
        tensors=tuple(names),
        said=said,
        factor=1.0 + share,
    )


def _and_the_loss(evidence: Evidence, share: float, kept: Bools) -> str:
    for column in evidence.columns(Role.LOSS)[:1]:
        of_loss, _ = _leans(evidence, column, kept)
        if abs(of_loss - share) <= _ALIKE * abs(share):
            return ", and so is the loss, as of a mean over another count"
    return ""


def _shares(evidence: Evidence, column: int, kept: Bools) -> Floats:
    """Return by what share of itself a gradient is longer at each step."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(evidence.projection[kept, column] / evidence.size[kept, column] ** 2)


def _other(evidence: Evidence, flags: Sequence[Flag], kept: Bools) -> Finding:
    places = [flag.tensor for flag in flags]
    with np.errstate(invalid="ignore"):
        middle = {place: float(np.nanmedian(evidence.units[kept, place])) for place in places}
    most = max(places, key=lambda place: middle[place])
    units = count(middle[most]) if middle[most] >= _COUNTED else number(middle[most], 2)
    by = f"by {units} units of rounding in the middle of the steps"
    whole = len(places) > 1 and set(places) >= set(real_gradients(evidence))
    said = f"every gradient is another, {evidence.tensors[most].name} {by}" if whole else f"its gradient is off {by}"
    # What is wrong in the backward pass is wrong in all that comes after it there, and that stands before it here.
    real = real_gradients(evidence)
    last = max((real.index(place) for place in places if place in real), default=-1)
    if len(places) > 1 and 0 <= last < len(real) - 1:
        until, after = evidence.tensors[real[last]].name, evidence.tensors[real[last + 1]].name
        said += f"; gradients from {after} on agree, so it comes in on the way back from there to {until}"
    names = tuple(evidence.tensors[place].name for place in sorted(places, key=lambda place: -middle[place]))
    return Finding(
        what="gradient",
        step=int(evidence.steps[min(flag.first for flag in flags)]),
        steps=int((evidence.units[kept, most] > LIMITS.median).sum()),
        tensor="" if whole else evidence.tensors[most].name,
        tensors=names,
        said=said,
    )
