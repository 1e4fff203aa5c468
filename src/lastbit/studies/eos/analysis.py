"""From what a cell left behind to what it says: one dictionary of plain values for terminal, JSON and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from lastbit.core.plain import plain
from lastbit.core.status import RunStatus
from lastbit.curvature import StableLearningRates
from lastbit.dynamics import judge, single_rounding
from lastbit.stats import mean_estimate, not_measured
from lastbit.studies.eos.growth_share import split_growth
from lastbit.studies.eos.tail import entered_at, last_third, tail_mean
from lastbit.studies.frame.settings import DTYPES

__all__ = ["analyse_cell", "control_of", "stable_rows"]

Array = np.ndarray[Any, Any]

_SERIES = {
    "sharpness": "sharpness",
    "ratio": "ratios",
    "loss": "loss",
    "gradient_norm": "gradient_norm",
    "alignment": "alignment",
    "lr": "lrs",
}
"""Names of arrays, and what they are called in the result, where `lr` is the setting."""


def stable_rows(found: StableLearningRates) -> dict[str, Any]:
    """Return the whole and the layers of a table of stable learning rates as plain values."""
    return {"whole": plain(asdict(found.whole)), "layers": [plain(asdict(row)) for row in found.layers]}


def analyse_cell(arrays: Mapping[str, Array], stable: Mapping[str, Any], *, dtype: str, status: str) -> dict[str, Any]:
    """Return what one training says of its edge.

    Args:
        arrays: of `follow` or `record_arrays`.
        stable: rows of `stable_rows` by step, as text.
        dtype: format of the weights.
        status: how the training ended.
    """
    steps, ratio = arrays["step"], arrays["ratio"]
    limit = arrays["limit"]
    finite = np.flatnonzero(np.isfinite(limit))
    diverged = status != RunStatus.OK
    gone = not_measured("the training diverged")
    result = {
        "limit": plain(limit[finite[-1]]) if len(finite) else None,
        "limits": plain(limit),
        "steps": plain(steps),
        **{name: plain(arrays[key]) for key, name in _SERIES.items()},
        "ratio_tail": (gone if diverged else tail_mean(steps, ratio)).to_json(),
        "sharpness_tail": (gone if diverged else tail_mean(steps, arrays["sharpness"])).to_json(),
        "entered_at_step": entered_at(steps, ratio),
        **_stable_rates(arrays, diverged),
        "converged_fraction": float(np.mean(arrays["converged"][np.isfinite(ratio)])) if len(finite) else None,
        "products": int(arrays["products"].sum()),
        "smallest": _smallest(arrays),
        "stable_learning_rates": plain(stable),
        "per_layer": _per_layer(arrays, stable),
        "batch_sharpness": _batch_sharpness(arrays),
        "flow": _flow(arrays),
    }
    return {**result, **_growth(arrays, dtype)}


def _stable_rates(arrays: Mapping[str, Array], diverged: bool) -> dict[str, Any]:
    """Return the stable learning rate at every measured step, and what stands for its course.

    The limit is inversely proportional to the rate, so the stable rate is `lr / ratio`: `2/(sharpness + alpha)` for
    gradient descent. With decoupled decay, which the limit is not quite proportional in, it errs by a factor of at most
    `1 + lr alpha / 2`.
    """
    steps, rates = arrays["step"], np.full(len(arrays["step"]), np.nan)
    usable = np.isfinite(arrays["ratio"]) & (arrays["ratio"] > 0) & (arrays["lr"] > 0)
    rates[usable] = arrays["lr"][usable] / arrays["ratio"][usable]
    late = usable & last_third(steps) if len(steps) else usable
    course = {
        "first": rates[0] if len(rates) else np.nan,
        "lowest": rates[usable].min() if usable.any() and not diverged else np.nan,
        "tail": np.exp(np.log(rates[late]).mean()) if late.any() and not diverged else np.nan,
    }
    return {"stable_lrs": plain(rates), "stable_lr": plain(course)}


def _growth(arrays: Mapping[str, Array], dtype: str) -> dict[str, Any]:
    if "distance" not in arrays or len(arrays["distance"]) < 2:
        missing = not_measured("no twins were trained")
        return {"growth_share_above_limit": missing.to_json(), "growth": None, "last_bit": None}
    twins, norm = arrays["distance"][1:], arrays["norm"]
    floor = single_rounding(float(norm[0]), DTYPES[dtype])
    # A diverged base has measured one step more than its twins can be compared at.
    shared = min(len(arrays["step"]), twins.shape[1])
    split = split_growth(arrays["step"][:shared], arrays["ratio"][:shared], twins[:, :shared], floor)
    zero = np.zeros((len(twins), 1))
    verdict = judge(
        np.concatenate([[0], arrays["distance_step"]]),
        np.concatenate([zero, twins], axis=1),
        np.concatenate([norm[:1], norm]),
        dtype=DTYPES[dtype],
    )
    return {
        "growth_share_above_limit": split.share_above.to_json(),
        "growth": split.to_json(),
        "last_bit": {
            **verdict.to_json(),
            "final_relative_l1": plain(arrays["relative_l1"][1:, -1].mean()),
            "final_distance": plain(twins[:, -1].mean()),
        },
    }


def control_of(arrays: Mapping[str, Array]) -> dict[str, Any] | None:
    """Return whether the exact repeat matched bit for bit at every measured step, and every loss; None without one."""
    if "distance" not in arrays or not len(arrays["distance"]):
        return None
    steps, repeat = arrays["distance_step"], arrays["distance"][0]
    losses = arrays["train_loss"]
    unequal = np.flatnonzero(losses[0].view(np.int64) != losses[1].view(np.int64))
    apart = np.flatnonzero(repeat != 0)
    first = [int(step) + 1 for step in unequal[:1]] + [int(step) for step in steps[apart[:1]]]
    landed = [bool((row > 0).any()) for row in arrays["distance"][1:]]
    return {
        "bitwise_identical": not first,
        "first_difference": min(first) if first else None,
        "largest_distance": plain(repeat.max()),
        "twins_landed": sum(landed),
        "twins": len(landed),
    }


def _smallest(arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Return the smallest eigenvalue where it was looked for, and whether such a direction grows."""
    seen = np.isfinite(arrays["smallest"])
    return {
        "steps": plain(arrays["step"][seen]),
        "values": plain(arrays["smallest"][seen]),
        "growing": plain(arrays["growing"][seen]),
        "growing_fraction": float((arrays["growing"][seen] > 0).mean()) if seen.any() else None,
    }


def _per_layer(arrays: Mapping[str, Array], stable: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one entry per layer: what it could bear at the last look, and its ratio along the training."""
    if "layer" not in arrays:
        return []
    last = stable[max(stable, key=int)]["layers"] if stable else []
    rows = {row["name"]: row for row in last}
    ratios, steps = arrays["layer_ratio"], plain(arrays["layer_step"])
    found = []
    for column, name in enumerate(arrays["layer"].tolist()):
        known = rows.get(name, {"name": name})
        found.append({**known, "steps": steps, "ratios": plain(ratios[:, column])})
    return found


def _batch_sharpness(arrays: Mapping[str, Array]) -> dict[str, Any] | None:
    """Return batch sharpness along the training, and over the limit of plain stochastic descent where it is that."""
    if "batch_sharpness" not in arrays:
        return None
    step, value, low, high = arrays["batch_sharpness"].T
    ratio = value / arrays["batch_limit"]
    late = last_third(step)
    compared = bool(np.isfinite(ratio[late]).all())
    missing = not_measured("2/lr is the edge of stochastic descent without momentum or preconditioner alone")
    return {
        "steps": plain(step),
        "values": plain(value),
        "low": plain(low),
        "high": plain(high),
        "limits": plain(arrays["batch_limit"]),
        "tail": mean_estimate(value[late]).to_json(),
        "ratio_tail": (mean_estimate(ratio[late]) if compared else missing).to_json(),
    }


def _flow(arrays: Mapping[str, Array]) -> dict[str, Any] | None:
    if "flow_step" not in arrays:
        return None
    names = {"steps": "flow_step", "loss": "flow_loss", "sharpness": "flow_sharpness", "gradients": "flow_gradients"}
    return {name: plain(arrays[key]) for name, key in names.items()}
