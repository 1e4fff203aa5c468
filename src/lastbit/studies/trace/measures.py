"""What the recorded arrays of one set of twins say: one curve, its verdict, episodes, tensors, concentration."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from lastbit.core.plain import plain
from lastbit.dynamics import (
    Episodes,
    first_difference,
    fit_trend,
    growth_episodes,
    growth_split,
    judge,
    participation_ratio,
)
from lastbit.dynamics import gini as gini_of

__all__ = [
    "concentration_facts",
    "curve",
    "first_facts",
    "half_of_growth",
    "judged",
    "tangent_facts",
    "tensor_rows",
    "twins_grew",
]

Array = np.ndarray[Any, Any]

SMALL = 1e-3
"""Relative L2 distance up to which twins grow as the tangent does."""


def curve(arrays: dict[str, Array]) -> Array:
    """Return the geometric mean over perturbed twins of the L2 distance over all weights (S,), 0 where none differs.

    Twins that do not differ (yet) at a step are left out there. What renormalisation took away is put back.
    """
    d = arrays["all_l2"][1:] * np.exp(arrays["log_removed"][1:])
    positive = d > 0
    with np.errstate(invalid="ignore"):
        logs = np.log(np.where(positive | np.isnan(d), d, 1.0)).sum(axis=0) / np.maximum(positive.sum(axis=0), 1)
    return np.where(positive.any(axis=0) | np.isnan(d).any(axis=0), np.exp(logs), 0.0)


def half_of_growth(arrays: dict[str, Array]) -> float | None:
    """Return the share of steps that holds half of all growth, the fastest first: how localised it is in time.

    Median over perturbed twins; growth is that of the running maximum of the distance, on a logarithmic scale, so that
    the scatter about a level does not count; steps count from the first at which the twin differs. Even exponential
    growth all along gives one half.
    """
    shares = []
    for distance, removed in zip(arrays["all_l2"][1:], arrays["log_removed"][1:], strict=True):
        use = np.flatnonzero(np.isfinite(distance) & (distance > 0))
        if len(use) < 3:
            continue
        spans = np.diff(arrays["step"][use]).astype(np.float64)
        gains = np.diff(np.maximum.accumulate(np.log(distance[use]) + removed[use]))
        order = np.argsort(-gains / spans)
        grown, spent = np.cumsum(gains[order]), np.cumsum(spans[order])
        if grown[-1] > 0:
            shares.append(float(np.interp(grown[-1] / 2, np.append(0, grown), np.append(0, spent))) / float(spent[-1]))
    return float(np.median(shares)) if shares else None


def twins_grew(arrays: dict[str, Array]) -> Episodes:
    """Return the growth episodes of that curve."""
    return growth_episodes(arrays["step"], curve(arrays))


def judged(arrays: dict[str, Array], dtype: torch.dtype) -> dict[str, Any]:
    """Return the verdict on the twins as plain values, distances relative to the base's norm where they are levels.

    Twins that were renormalised never reach a level: their verdict is `undecided`, with their growth rate.
    """
    steps, norm = arrays["step"], arrays["all_norm"]
    if arrays["log_removed"].any():
        return _renormalised(arrays)
    # Squares of weights that grow without bound pass the range of float64 one step before they do.
    with np.errstate(over="ignore"):
        facts = judge(steps, arrays["all_l2"][1:], norm, dtype=dtype).to_json()
    last = float(norm[np.isfinite(norm)][-1]) if np.isfinite(norm).any() else math.nan
    late = norm[steps >= steps[0] + 2 / 3 * (steps[-1] - steps[0])]
    unit = float(np.median(late)) if np.isfinite(late).all() and len(late) else last
    facts["saturation_level_l2"] = facts["saturation_level"]
    for name in ("saturation_level", "rounding_bound"):
        facts[name] = facts[name] / unit if facts[name] is not None and unit > 0 else None
    if facts["saturation_range"] is not None:
        facts["saturation_range"] = [value / unit for value in facts["saturation_range"]]
    return facts


def _renormalised(arrays: dict[str, Array]) -> dict[str, Any]:
    """Return the growth rate of twins that were brought back, from the slope of what they would have grown to."""
    steps = arrays["step"].astype(np.float64)
    # In logarithms, for the distance itself may pass the range of float64.
    with np.errstate(divide="ignore"):
        logs = np.log(arrays["all_l2"][1:]) + arrays["log_removed"][1:]
    logs = logs.mean(axis=0)
    since = int(np.argmax(arrays["log_removed"][1:].any(axis=0)))
    use = np.flatnonzero(np.isfinite(logs) & (np.arange(len(logs)) >= since))
    trend = fit_trend(steps[use], logs[use]) if len(use) > 1 else None
    rate = trend.slope if trend else math.nan
    finite = logs[np.isfinite(logs)]
    ends = [trend.low, trend.high] if trend else [math.nan, math.nan]
    return {
        "verdict": "undecided",
        "reason": "the twins were renormalised, so they never reach a level: trace without --renormalise to see "
        "whether the growth is restrained",
        "decades": float(np.ptp(finite)) / math.log(10) if len(finite) else None,
        "growth_rate_per_step": plain(rate),
        "growth_rate_interval": plain(ends),
        "e_folding_steps": 1 / rate if rate > 0 else None,
        "saturation_step": None,
        "saturation_level": None,
        "saturation_level_l2": None,
        "saturation_range": None,
        "slope_last_third": None,
        "slope_interval": [None, None],
        "rounding_bound": float(arrays["rounding_bound"][-1] / arrays["all_norm"][-1]),
        "steps_needed": None,
    }


def first_facts(arrays: dict[str, Array]) -> dict[str, Any] | None:
    """Return the first recorded step at which a perturbed twin differs, and the tensor that differs most there."""
    names = [str(name) for name in arrays["tensor"]]
    found = [first_difference(arrays["step"], twin, names) for twin in arrays["relative_l2"][1:]]
    there = [first for first in found if first is not None]
    if not there:
        return None
    first = min(there, key=lambda one: one.step)
    tensors = [name for name in names if any(name in one.tensors for one in there if one.step == first.step)]
    return {"step": first.step, "tensor": first.tensor, "tensors": tensors}


def tensor_rows(arrays: dict[str, Array], episodes: Episodes) -> list[dict[str, Any]]:
    """Return what is known of each tensor, in the order of the network.

    `growth` is the tensor's part of the logarithmic growth of the whole difference within the episodes, nats, mean over
    twins (`dynamics.growth_split`: the parts add up to the whole); `growth_share` relates it to the whole.
    """
    within = np.zeros(len(arrays["step"]) - 1, dtype=bool)
    for episode in episodes.episodes:
        within |= (arrays["step"][:-1] >= episode.start) & (arrays["step"][1:] <= episode.end)
    energies = torch.from_numpy(np.square(arrays["l2"][1:]))
    split = growth_split(energies[:, :-1], energies[:, 1:]).numpy()
    # A step from nothing at all to something has no logarithmic growth.
    split = np.where(within[None, :, None] & np.isfinite(split), split, 0.0).sum(axis=1).mean(axis=0)
    total = float(split.sum())
    rows = []
    first = arrays["first_step"][1:]
    for i, name in enumerate(arrays["tensor"]):
        seen = first[:, i][first[:, i] >= 0]
        rows.append(
            {
                "tensor": str(name),
                "size": int(arrays["size"][i]),
                "growth": float(split[i]),
                "growth_share": float(split[i]) / total if total > 0 else None,
                "first_step": int(seen.min()) if len(seen) else None,
                "relative_l2": _mean(arrays["relative_l2"][1:, -1, i]),
                "mean_relative_l1": _mean(arrays["mean_relative_l1"][1:, -1, i]),
                "max_ulp": int(arrays["max_ulp"][1:, -1, i].max()),
                "share_differing": _mean(arrays["share_differing"][1:, -1, i]),
                "cosine": _mean(arrays["cosine"][1:, -1, i]),
            }
        )
    return rows


def _mean(values: Array) -> float | None:
    mean = float(values.mean())
    return mean if math.isfinite(mean) else None


def concentration_facts(arrays: dict[str, Array], episodes: Episodes) -> dict[str, Any]:
    """Return over how much of the network the difference is spread: while it grew most, and at the end.

    Over tensors the mean over twins; over filters and elements that of the first twin, at the nearest probed step.
    """
    longest = max(episodes.episodes, key=lambda episode: episode.rise, default=None)
    facts = {}
    if longest is not None:
        facts["while_growing"] = _concentration(arrays, (longest.start + longest.end) // 2)
    facts["at_the_end"] = _concentration(arrays, int(arrays["step"][-1]))
    return facts


def _concentration(arrays: dict[str, Array], step: int) -> dict[str, Any]:
    at = int(np.argmin(np.abs(arrays["step"] - step)))
    probe = int(np.argmin(np.abs(arrays["probe_step"] - step)))
    energies = torch.from_numpy(np.nan_to_num(np.square(arrays["l2"][1:, at]), posinf=0.0))
    sizes = dict(zip(arrays["tensor"].tolist(), arrays["size"].tolist(), strict=True))
    counts = {name: int((arrays["filter_tensor"] == name).sum()) for name in arrays["convolution"].tolist()}

    def rows(kind: str, carriers: dict[str, int]) -> dict[str, Any]:
        return {
            name: {
                "carriers": carriers[name],
                "participation": _number(arrays[f"{kind}_participation"][probe, i]),
                "gini": _number(arrays[f"{kind}_gini"][probe, i]),
            }
            for i, name in enumerate(carriers)
        }

    return {
        "step": int(arrays["step"][at]),
        "probe_step": int(arrays["probe_step"][probe]),
        "tensors": {
            "carriers": len(sizes),
            "participation": _number(float(participation_ratio(energies).mean())),
            "gini": _number(float(gini_of(energies).mean())),
        },
        "filters": rows("filter", counts),
        "elements": rows("element", sizes),
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def tangent_facts(arrays: dict[str, Array]) -> dict[str, Any] | None:
    """Return the growth rate of the tangent, and beside it that of the twins while they are small.

    `rate_second_half` leaves the first half out, in which the tangent turns towards the direction that grows most. The
    window of the comparison runs from the first recorded step at which the twins' relative L2 distance is a hundred
    times that of a single rounding to the last one before it passes 1e-3; it is None where they do not grow by at least
    1 nat in it.
    """
    if "tangent_step" not in arrays or not len(arrays["tangent_step"]):
        return None
    steps, growth = arrays["tangent_step"], arrays["tangent_log_growth"]
    names = [str(name) for name in arrays["tangent_tensor"]]
    split = arrays["tangent_split"].astype(np.float64).sum(axis=0)
    total = float(growth.sum())
    return {
        "rate": float(growth.mean()),
        "rate_second_half": float(growth[len(growth) // 2 :].mean()),
        "steps": len(growth),
        "log_growth": total,
        "split": dict(zip(names, split.tolist(), strict=True)),
        "while_small": _while_small(arrays, steps, growth),
    }


def _while_small(arrays: dict[str, Array], steps: Array, growth: Array) -> dict[str, Any] | None:
    relative = curve(arrays) / arrays["all_norm"]
    low = 100 * float(arrays["single_rounding"][0]) / float(arrays["all_norm"][0])
    start = np.flatnonzero(relative >= low)
    if not len(start):
        return None
    past = np.flatnonzero(~(relative[start[0] :] < SMALL))
    end = start[0] + (past[0] if len(past) else len(relative) - start[0]) - 1
    if end <= start[0]:
        return None
    first, last = int(arrays["step"][start[0]]), int(arrays["step"][end])
    distance = curve(arrays)
    grown = math.log(float(distance[end] / distance[start[0]]))
    inside = (steps > first) & (steps <= last)
    if grown < 1 or inside.sum() < last - first:
        return None
    tangent = float(growth[inside].sum())
    return {
        "start": first,
        "end": last,
        "twin_rate": grown / (last - first),
        "tangent_rate": tangent / (last - first),
        "relative_difference": tangent / grown - 1,
    }
