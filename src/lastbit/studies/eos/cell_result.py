"""What one followed training says of its edge: the typed part of the result that stands once for every cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lastbit.core.status import RunStatus
from lastbit.curvature import StableLearningRates
from lastbit.dynamics.agreement import judge_twins
from lastbit.dynamics.blow_up import is_held
from lastbit.dynamics.rounding import single_rounding
from lastbit.dynamics.verdict import Verdict
from lastbit.stats import Estimate, mean_estimate, not_measured
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.eos.growth_share import GrowthSplit, split_growth
from lastbit.studies.eos.settings import EosSettings
from lastbit.studies.eos.stable_rows import former_stable_rows, stable_rows
from lastbit.studies.eos.tail import entered_at, last_third, tail_mean
from lastbit.studies.frame.control import Control, Difference, LandedRun, Landing, control_of, landing_of
from lastbit.studies.frame.kind import DTYPES

__all__ = ["EosCell", "Headlines", "StableCourse", "read_cell"]

Series = tuple[float | None, ...]
"""One number for each step, None where it is not one."""


RESOLVED = 0.1
"""An eigenvalue counts as resolved where its residual is at most that share of it."""


@dataclass(frozen=True, kw_only=True)
class StableCourse:
    """The stable learning rate of the whole network along a training; infinite where the curvature bounds none."""

    first: float | None
    """At the first measurement."""
    lowest: float | None
    tail: float | None
    """Geometric mean over the steps of the last third that bound it, infinite where none does; None of a training that
    diverged."""


@dataclass(frozen=True, kw_only=True)
class Smallest:
    """The smallest eigenvalue at the steps where it was looked for, and whether such a direction grows.

    A value is None where its residual is not small against it: it is not resolved.
    """

    steps: tuple[int, ...]
    values: Series
    growing: tuple[int, ...]
    growing_fraction: float | None
    """Share of the looks at which one did."""


@dataclass(frozen=True, kw_only=True)
class LayerCourse:
    """One layer moved alone: its ratio along the training, and what it could bear at the last look.

    From `size` on the fields are those of `curvature.LayerStability`, None where no look was taken.
    """

    name: str
    steps: tuple[int, ...]
    ratios: Series
    size: int | None = None
    sharpness: float | None = None
    smallest: float | None = None
    limit: float | None = None
    ratio: float | None = None
    lr: float | None = None
    max_lr: float | None = None
    lr_factor: float | None = None
    weight_decay: float | None = None
    decay_interval: tuple[float | None, float] | None = None
    converged: bool | None = None
    products: int | None = None
    sharpness_within: float | None = None
    smallest_within: float | None = None


@dataclass(frozen=True, kw_only=True)
class BatchSharpness:
    """Sharpness along the mini-batches' own gradients, and over the limit of plain stochastic descent."""

    steps: tuple[int, ...]
    values: Series
    low: Series
    high: Series
    limits: Series
    """None where the optimizer has no such edge."""
    tail: Estimate
    ratio_tail: Estimate


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The gradient flow beside the training, at the same scaled time."""

    steps: Series
    loss: Series
    sharpness: Series
    gradients: int
    """How many were spent."""


@dataclass(frozen=True)
class LastBit(Verdict):
    """What became of the twins' difference, and how large it was at the end."""

    final_relative_l1: float | None
    final_distance: float | None


@dataclass(frozen=True, kw_only=True)
class Headlines:
    """What a training says first: the whole answer where there is no sweep."""

    limit: float | None
    """The latest finite limit on the sharpness; infinite where every one is, at a learning rate of 0."""
    steps: tuple[int, ...]
    sharpness: Series
    limits: Series
    ratios: Series
    ratio_tail: Estimate
    sharpness_tail: Estimate
    entered_at_step: int | None
    stable_lr: StableCourse
    growth_share_above_limit: Estimate
    growth: GrowthSplit | None
    per_layer: tuple[LayerCourse, ...]
    batch_sharpness: BatchSharpness | None
    converged_fraction: float | None
    control: Control | None
    """Of the exact repeat; None without twins."""
    landing: Landing | None


@dataclass(frozen=True, kw_only=True)
class EosCell(Headlines):
    """One training of the study against its own limit."""

    name: str
    label: str
    """What is varied, in words; empty where nothing is."""
    seed: int
    axes: Mapping[str, Any]
    """The values that it takes on the axes of the sweep."""
    settings: Mapping[str, Any]
    status: str
    message: str
    seconds: float
    verdict_kind: str
    held: bool = True
    """Whether the loss does not keep growing over the last third: what hovers at its edge is pushed back."""
    repeat_distance: float | None
    """Largest L2 distance of the exact repeat from the run."""
    loss: Series
    gradient_norm: Series
    alignment: Series
    lrs: Series
    stable_lrs: Series
    stable_learning_rates: Mapping[int, StableLearningRates]
    """By step, what the whole network and each layer could bear."""
    products: int
    smallest: Smallest
    flow: Flow | None
    last_bit: LastBit | None


def read_cell(folder: StudyFolder, number: int, facts: Mapping[str, Any], record: RunRecord) -> EosCell:
    """Return what a training's arrays say, without a kind of verdict.

    Args:
        folder: the study.
        number: place of the training in it.
        facts: of the training, in `study.json`.
        record: how it ended.
    """
    arrays, settings = folder.arrays(record.run), folder.facts["spec"]["settings"]
    # The ratio of a training that is still finite is measured, whatever becomes of its loss.
    former, diverged = facts.get("stable"), record.status not in (RunStatus.OK, RunStatus.DIVERGING)
    stable = stable_rows(arrays) if former is None else former_stable_rows(former)
    steps, ratio = arrays["step"], arrays["ratio"]
    known, gone = np.isfinite(ratio), not_measured("the training diverged")
    return EosCell(
        name=record.run,
        label=facts["label"],
        seed=facts["seed"],
        axes={axis: facts["program"].get(axis) for axis in EosSettings.sweeps},
        settings=facts["task_settings"],
        status=str(record.status),
        message=record.message,
        seconds=record.seconds,
        verdict_kind="",
        held=is_held(arrays["loss"], steps),
        limit=_latest(arrays["limit"]),
        steps=tuple(steps.tolist()),
        limits=_series(arrays["limit"]),
        sharpness=_series(arrays["sharpness"]),
        ratios=_series(ratio),
        loss=_series(arrays["loss"]),
        gradient_norm=_series(arrays["gradient_norm"]),
        alignment=_series(arrays["alignment"]),
        lrs=_series(arrays["lr"]),
        ratio_tail=gone if diverged else tail_mean(steps, ratio),
        sharpness_tail=gone if diverged else tail_mean(steps, arrays["sharpness"]),
        entered_at_step=entered_at(steps, ratio),
        stable_learning_rates=stable,
        per_layer=_per_layer(arrays, stable),
        converged_fraction=float(np.mean(arrays["converged"][known])) if known.any() else None,
        products=int(arrays["products"].sum()),
        smallest=_smallest(arrays),
        batch_sharpness=_batch_sharpness(arrays),
        flow=_flow(arrays),
        **_stable_rates(arrays, diverged),
        **_twins(arrays, number, settings),
    )


def _series(values: np.ndarray) -> Series:
    """Return numbers as a result holds them: None for NaN."""
    return tuple(None if value != value else value for value in values.astype(float).tolist())


def _latest(limits: np.ndarray) -> float | None:
    """Return the latest finite limit, an infinite one where there is no other, None where there is none at all."""
    known = limits[~np.isnan(limits)]
    finite = known[np.isfinite(known)]
    return float((finite if len(finite) else known)[-1]) if len(known) else None


def _stable_rates(arrays: Mapping[str, np.ndarray], diverged: bool) -> dict[str, Any]:
    """Return the stable learning rate at every measured step, and what stands for its course.

    The ratio is the learning rate over the stable one, which is so `lr / ratio`: `2/(sharpness + alpha)` for gradient
    descent. Where the ratio is not above 0 no direction curves up, and every learning rate is stable.
    """
    steps, lr, ratio = arrays["step"], arrays["lr"], arrays["ratio"]
    usable = np.isfinite(ratio) & (lr > 0)
    bounded = usable & (ratio > 0)
    rates = np.divide(lr, ratio, out=np.where(usable, np.inf, np.nan), where=bounded)
    late = usable & last_third(steps) if len(steps) else usable
    settled = late & bounded if (late & bounded).any() else late
    found = _series(rates)
    course = StableCourse(
        first=found[0] if found else None,
        lowest=float(rates[usable].min()) if usable.any() and not diverged else None,
        tail=float(np.exp(np.log(rates[settled]).mean())) if settled.any() and not diverged else None,
    )
    return {"stable_lrs": found, "stable_lr": course}


def _twins(arrays: Mapping[str, np.ndarray], cell: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the controls, and where and how the twins parted."""
    distance = arrays.get("distance", np.empty((0, 0)))
    landed = [LandedRun(run=f"twin{n}", landed=bool((row > 0).any())) for n, row in enumerate(distance[1:], 1)]
    growth, last_bit = _growth(arrays, distance[1:], DTYPES[settings["dtype"]]) if landed else (None, None)
    return {
        "control": control_of([_first_difference(arrays, cell)]) if len(distance) else None,
        "repeat_distance": float(distance[0].max()) if len(distance) else None,
        "landing": landing_of(settings.get("perturb", ""), landed) if "distance" in arrays else None,
        "growth_share_above_limit": growth.share_above_limit if growth else not_measured("no twins were trained"),
        "growth": growth,
        "last_bit": last_bit,
    }


def _first_difference(arrays: Mapping[str, np.ndarray], cell: int) -> Difference | None:
    """Return where the exact repeat differs in a bit of a loss, or of the weights at a measured step."""
    found, (base, repeat) = [], arrays["train_loss"][:2]
    unequal = np.flatnonzero(base.view(np.int64) != repeat.view(np.int64))
    if len(unequal):
        at = unequal[0]
        values = [float(loss[at]) if np.isfinite(loss[at]) else None for loss in (base, repeat)]
        found.append(Difference(cell=cell, step=int(at) + 1, what="training loss", base=values[0], repeat=values[1]))
    apart = np.flatnonzero(arrays["distance"][0] != 0)
    if len(apart):
        found.append(Difference(cell=cell, step=int(arrays["distance_step"][apart[0]]), what="weights"))
    return min(found, key=lambda difference: difference.step, default=None)


def _growth(arrays: Mapping[str, np.ndarray], twins: np.ndarray, dtype: torch.dtype) -> tuple[GrowthSplit, LastBit]:
    norm = arrays["norm"]
    # A diverged base has measured one step more than its twins can be compared at.
    shared = min(len(arrays["step"]), twins.shape[1])
    floor = single_rounding(float(norm[0]), dtype)
    split = split_growth(arrays["step"][:shared], arrays["ratio"][:shared], twins[:, :shared], floor)
    steps, distance = np.insert(arrays["distance_step"], 0, 0), np.insert(twins, 0, 0.0, axis=1)
    verdict = judge_twins(steps, distance, np.insert(norm, 0, norm[0]), dtype=dtype)
    relative, final = _series(np.array([arrays["relative_l1"][1:, -1].mean(), twins[:, -1].mean()]))
    return split, LastBit(**vars(verdict), final_relative_l1=relative, final_distance=final)


def _smallest(arrays: Mapping[str, np.ndarray]) -> Smallest:
    seen = np.isfinite(arrays["smallest"])
    growing, value = arrays["growing"][seen], arrays["smallest"][seen]
    # Studies of before have no certificates.
    within = arrays["smallest_within"][seen] if "smallest_within" in arrays else np.zeros(len(value))
    return Smallest(
        steps=tuple(arrays["step"][seen].tolist()),
        values=_series(np.where(within <= RESOLVED * np.abs(value), value, np.nan)),
        growing=tuple(growing.astype(int).tolist()),
        growing_fraction=float((growing > 0).mean()) if seen.any() else None,
    )


def _per_layer(arrays: Mapping[str, np.ndarray], stable: Mapping[int, StableLearningRates]) -> tuple[LayerCourse, ...]:
    if "layer" not in arrays:
        return ()
    rows = {row.name: vars(row) for row in stable[max(stable)].layers} if stable else {}
    steps = tuple(arrays["layer_step"].tolist())
    return tuple(
        LayerCourse(**{"name": name, **rows.get(name, {})}, steps=steps, ratios=_series(ratios))
        for name, ratios in zip(arrays["layer"].tolist(), arrays["layer_ratio"].T, strict=True)
    )


def _batch_sharpness(arrays: Mapping[str, np.ndarray]) -> BatchSharpness | None:
    if "batch_sharpness" not in arrays:
        return None
    step, value, low, high = arrays["batch_sharpness"].T
    late = last_third(step)
    ratio = (value / arrays["batch_limit"])[late]
    missing = not_measured("2/lr is the edge of stochastic descent without momentum or preconditioner alone")
    return BatchSharpness(
        steps=tuple(step.astype(int).tolist()),
        values=_series(value),
        low=_series(low),
        high=_series(high),
        limits=_series(arrays["batch_limit"]),
        tail=mean_estimate(value[late]),
        ratio_tail=mean_estimate(ratio) if np.isfinite(ratio).all() else missing,
    )


def _flow(arrays: Mapping[str, np.ndarray]) -> Flow | None:
    if "flow_step" not in arrays:
        return None
    steps, loss, sharpness = (_series(arrays[f"flow_{name}"]) for name in ("step", "loss", "sharpness"))
    return Flow(steps=steps, loss=loss, sharpness=sharpness, gradients=int(arrays["flow_gradients"]))
