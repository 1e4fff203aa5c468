"""What became of a set of twins: the verdict of `dynamics.judge_twins`, its levels relative to the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from lastbit.dynamics.agreement import judge_twins
from lastbit.dynamics.rounding import rounding_bound, single_rounding
from lastbit.dynamics.trend import NO_TREND, fit_trend
from lastbit.dynamics.verdict import Course

__all__ = ["Judged", "judged", "known", "rounding_arrays"]


@dataclass(frozen=True, kw_only=True)
class Judged(Course):
    """The verdict on twins and what it rests on: levels and bound relative to the norm of the weights."""

    verdict_kind: str
    """`stable`, `restrained`, `decays`, `diverged`, `mixed` or `undecided`; `diverging` where the loss blows up;
    `not_reproducible` or `not_landed` where controls failed."""
    saturation_level_l2: float | None = None


def judged(arrays: Mapping[str, np.ndarray], dtype: torch.dtype) -> Judged:
    """Return the verdict on twins.

    Twins that were renormalised never reach a level: their verdict is `undecided`, with their growth rate.
    """
    steps, norm = arrays["step"], arrays["all_norm"]
    if arrays["log_removed"].any():
        return _renormalised(arrays)
    # Squares of weights that grow without bound pass the range of float64 one step before they do.
    with np.errstate(over="ignore"):
        found = judge_twins(steps, arrays["all_l2"][1:], norm, dtype=dtype)
    last = float(norm[np.isfinite(norm)][-1]) if np.isfinite(norm).any() else math.nan
    late = norm[steps >= steps[0] + 2 / 3 * (steps[-1] - steps[0])]
    unit = float(np.median(late)) if np.isfinite(late).all() and len(late) else last
    units = dict.fromkeys(("saturation_level", "saturation_range", "rounding_bound"), unit if unit > 0 else math.nan)
    names = [field.name for field in fields(Course)]
    return Judged(
        verdict_kind=found.verdict,
        saturation_level_l2=found.saturation_level,
        **{name: _told(getattr(found, name), units.get(name, 1.0)) for name in names},
    )


def _told(value: Any, unit: float) -> Any:
    """Return what a verdict holds, numbers in a unit, None for each that is not finite."""
    if isinstance(value, tuple):
        return tuple(_told(end, unit) for end in value)
    return known(value / unit) if isinstance(value, float) else value


def _renormalised(arrays: Mapping[str, np.ndarray]) -> Judged:
    """Return the growth rate of twins that were brought back, from the slope of what they would have grown to."""
    steps = arrays["step"].astype(np.float64)
    # In logarithms, for the distance itself may pass the range of float64.
    with np.errstate(divide="ignore"):
        logs = np.log(arrays["all_l2"][1:]) + arrays["log_removed"][1:]
    logs = logs.mean(axis=0)
    since = int(np.argmax(arrays["log_removed"][1:].any(axis=0)))
    use = np.flatnonzero(np.isfinite(logs) & (np.arange(len(logs)) >= since))
    trend = fit_trend(steps[use], logs[use]) if len(use) > 1 else NO_TREND
    finite = logs[np.isfinite(logs)]
    return Judged(
        verdict_kind="undecided",
        reason="the twins were renormalised, so they never reach a level: trace without --renormalise to see "
        "whether the growth is restrained",
        decades=float(np.ptp(finite)) / math.log(10) if len(finite) else None,
        growth_rate_per_step=known(trend.slope),
        growth_rate_interval=(known(trend.low), known(trend.high)),
        e_folding_steps=1 / trend.slope if trend.slope > 0 else None,
        slope_interval=(None, None),
        rounding_bound=float(arrays["rounding_bound"][-1] / arrays["all_norm"][-1]),
    )


def known(value: float | None) -> float | None:
    """Return the number, None where it is not finite."""
    return float(value) if value is not None and math.isfinite(value) else None


def rounding_arrays(steps: np.ndarray, norm: np.ndarray, dtype: torch.dtype) -> dict[str, np.ndarray]:
    """Return what rounding explains: `rounding_bound` (S,) and `single_rounding` (1,), L2 distances over all weights.

    Args:
        steps: (S,) recorded.
        norm: (S,) of the base over all weights.
        dtype: of the weights.
    """
    # A training that diverges ends with one norm that is not finite; nothing is explained there.
    finite = int(np.isfinite(norm).sum())
    bound = np.full(len(steps), np.nan)
    with np.errstate(over="ignore"):
        bound[:finite] = rounding_bound(steps[:finite], norm[:finite], dtype)
    return {"rounding_bound": bound, "single_rounding": np.array([single_rounding(float(norm[0]), dtype)])}
