"""The horizon of the last bit: the step at which a difference of one unit roundoff has grown to order one.

Twins that differ in the last bit of a format with unit roundoff `u` are a relative distance `r_t = c u exp(G_t)` apart
after step `t`, with `c` of order one (how the bit was perturbed) and `G_t` the growth in nats up to there. While the
difference is small, its growth does not depend on its size, and the last bit of a format with unit roundoff `v` would
be `(v / u) r_t`. It is of order one, 0.1 of the weights as in the published figure of the divergence, at the first `t`
with

    ln r_t >= ln 0.1 - ln(v / u) .

For a coarser format the answer lies on the measured curve, below 0.1. For a finer one it lies above, where twins that
are of order one themselves say nothing: only twins that stay small there, in a finer format or renormalised, do. Where
growth is by jumps that a threshold releases (units that switch), a larger difference meets more of them and a smaller
one fewer: the horizon of a coarser format is then an upper bound, that of a finer one a lower bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from lastbit.core.errors import LastbitError
from lastbit.core.words import plural
from lastbit.dynamics.rounding import unit_roundoff
from lastbit.stats import Estimate, mean_estimate, not_measured

__all__ = ["FORMATS", "ORDER_ONE", "Horizon", "horizons"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

ORDER_ONE = 0.1
"""Relative L2 distance from which two runs are two trainings."""

FORMATS: Mapping[str, torch.dtype] = {
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}
"""Of which a horizon is told, by name."""


@dataclass(frozen=True, kw_only=True)
class Horizon:
    """How far the last bit of a format is from order one.

    Attributes:
        dtype: name of the format.
        kind: `reached`, `not_within` where no twin came there within the steps, `partly` where some did, or
            `not_measured`.
        step: geometric mean over twins of the step, counted from the start of the training, with its 95% interval over
            the twins of this training; not measured unless every twin came there.
        reached: how many twins came there.
        within: the last step that was looked at.
    """

    dtype: str
    kind: str
    step: Estimate
    reached: int
    within: int


def horizons(
    steps: ArrayLike,
    relative: ArrayLike,
    dtype: torch.dtype,
    *,
    log_removed: ArrayLike = 0.0,
    factors: tuple[float, float] = (1.0, 1.0),
) -> tuple[Horizon, ...]:
    """Return the horizon of each of `FORMATS`, coarsest first.

    Args:
        steps: recorded steps (S,), increasing; the twins branch off at the first.
        relative: L2 distance of each twin from the base over the norm of the base's weights (K, S).
        dtype: format of the weights in which the twins were trained.
        log_removed: what renormalisation took away, nats, (K, S) or one number; with it distances stay small.
        factors: that take a distance to the ends of its 95% interval, where it is estimated.

    Raises:
        LastbitError: the shapes do not match, or there is no twin.

    Example:
        >>> steps = np.arange(101)
        >>> one_bit = 2.0**-24 * np.exp(0.2 * steps)[None]  # doubles every 3.5 steps
        >>> [(one.dtype, one.kind) for one in horizons(steps, one_bit, torch.float32)]
        [('bfloat16', 'reached'), ('float32', 'reached'), ('float64', 'not_measured')]
        >>> round(horizons(steps, one_bit, torch.float32)[1].step.estimate)  # ln(0.1 / 2^-24) / 0.2
        72
    """
    t, r = np.asarray(steps, dtype=np.float64), np.asarray(relative, dtype=np.float64)
    if t.ndim != 1 or r.ndim != 2 or r.shape[1:] != t.shape or not len(r) or not len(t):
        raise LastbitError(f"distances (K, S) of K twins at S steps are needed, got shapes {r.shape} and {t.shape}")
    removed = np.broadcast_to(np.asarray(log_removed, dtype=np.float64), r.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(np.isnan(r), np.inf, np.log(r)) + removed
    # Twins that are brought back never are of order one; those that are not say nothing of what is finer beyond it.
    apart = bool((r >= ORDER_ONE).any() or not np.isfinite(r).all()) and not bool(removed.any())
    return tuple(_of_format(name, t, logs, dtype, factors, apart=apart) for name in FORMATS)


def _of_format(
    name: str, steps: Floats, logs: Floats, dtype: torch.dtype, factors: tuple[float, float], *, apart: bool
) -> Horizon:
    finer = math.log(unit_roundoff(dtype) / unit_roundoff(FORMATS[name]))
    level, last, twins = math.log(ORDER_ONE) + finer, int(steps[-1]), len(logs)
    if finer > 0 and apart:
        why = "the twins are of order one themselves: those in float64, or renormalised, tell"
        return Horizon(dtype=name, kind="not_measured", step=not_measured(why, twins), reached=0, within=last)
    found = _crossings(steps, logs, level)
    reached = int(np.isfinite(found).sum())
    if reached < twins:
        steps_taken = plural(last, "step")
        said = f"{reached} of {plural(twins, 'twin')} within {steps_taken}" if reached else f"not within {steps_taken}"
        kind = "partly" if reached else "not_within"
        return Horizon(dtype=name, kind=kind, step=not_measured(said, twins), reached=reached, within=last)
    return Horizon(dtype=name, kind="reached", step=_step(steps, logs, level, factors), reached=reached, within=last)


def _crossings(steps: Floats, logs: Floats, level: float) -> Floats:
    """Return the first step at which each twin is at the level, between records along a straight line; inf for none."""
    found = np.full(len(logs), np.inf)
    for twin, curve in enumerate(logs):
        above = np.flatnonzero(curve >= level)
        if not len(above):
            continue
        at = int(above[0])
        found[twin] = steps[at]
        if at and np.isfinite(curve[at - 1]) and np.isfinite(curve[at]):
            part = (level - curve[at - 1]) / (curve[at] - curve[at - 1])
            found[twin] = steps[at - 1] + part * (steps[at] - steps[at - 1])
    return found


def _step(steps: Floats, logs: Floats, level: float, factors: tuple[float, float]) -> Estimate:
    """Return the geometric mean of the twins' steps, its interval widened by what is known of the distances."""
    low, middle, high = (_mean_step(steps, logs + math.log(factor), level) for factor in (factors[1], 1.0, factors[0]))
    if factors == (1.0, 1.0) or middle.estimate is None:
        return middle
    return Estimate(middle.estimate, low.low, high.high, middle.n, middle.note)


def _mean_step(steps: Floats, logs: Floats, level: float) -> Estimate:
    found = _crossings(steps, logs, level)
    if not np.isfinite(found).all():
        return not_measured("an end of the distances' interval stays below", len(found))
    # From the branch on, and a step at least: the logarithm of a time.
    since = mean_estimate(np.log(np.maximum(found - steps[0], 1.0)))
    told = [None if end is None else float(steps[0]) + math.exp(end) for end in (since.estimate, since.low, since.high)]
    return Estimate(told[0], told[1], told[2], since.n, since.note)
