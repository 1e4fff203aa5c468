"""What C12 measures: the largest stable learning rate over depth, width and kernel, by theory and along trainings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from lastbit.core.plain import plain
from lastbit.core.status import RunStatus
from lastbit.pde.deep.network import kept_gain
from lastbit.pde.deep.sweep import complexity_sweep
from lastbit.stats import Estimate
from lastbit.studies.eos.follow import follow
from lastbit.studies.eos.settings import EosSettings
from lastbit.studies.eos.size_trend import power_of_size
from lastbit.studies.paper.claim import Piece
from lastbit.studies.paper.claims.c12_sizes import SIZES
from lastbit.studies.paper.lab import Lab
from lastbit.tasks import Task, TaskConfig
from lastbit.tasks.build import build_task
from lastbit.tasks.models.layers import kept_init

__all__ = ["AXES", "INITS", "Trend", "Trends", "gathered", "pieces_of"]

AXES = ("depth", "width", "kernel")
"""By which a network grows."""

INITS = ("usual", "kept")
"""How weights are drawn: with PyTorch's variance, 1/(3 fan-in), or so that signals keep their size."""

_USUAL_GAIN = 1 / 3
"""Of PyTorch's default."""


_BASE: Mapping[str, Mapping[str, int]] = {
    "mlp": {"depth": 2, "width": 64},
    "cnn": {"depth": 2, "width": 8, "kernel": 3},
}
"""The network around which the sizes vary."""


@dataclass(frozen=True, kw_only=True)
class Trend:
    """What becomes of the stable learning rate as one size grows.

    Attributes:
        network: in words.
        by: `theory`, where it is linearised at its initial weights, or `training`.
        init: one of `INITS`.
        axis: one of `AXES`.
        batch: examples in a step; 0 for all of them, and where nothing is trained.
        when: `start`, or `lowest` along the training.
        sizes: of the axis.
        rates: geometric mean over the seeds at each size; empty where a seed has none.
        exponent: of the power law, with its interval over the seeds.
    """

    network: str
    by: str
    init: str
    axis: str
    batch: int
    when: str
    sizes: Sequence[int]
    rates: Sequence[float]
    exponent: Estimate


@dataclass(frozen=True, kw_only=True)
class Trends:
    """Everything that was measured."""

    trends: tuple[Trend, ...]


class _Linear(NamedTuple):
    """One sweep of linearised networks."""

    scale: str
    activation: str
    init: str


class _Grown(NamedTuple):
    """One training."""

    scale: str
    model: str
    init: str
    axis: str
    size: int
    batch: int
    seed: int


_Lines = dict[tuple[int], dict[int, tuple[float, float]]]
"""By seed and size, the rates at the start and the lowest."""


def pieces_of(scale: str) -> Sequence[Piece]:
    """Return what is measured at a scale: the linearised networks, then trainings of each initialisation."""
    at = SIZES[scale]
    shapes = len({*at.depths} | {*at.widths} | {*at.kernels}) * at.seeds * 2 * len(INITS)
    theory = Piece(
        name="theory",
        says="stable learning rates of linearised networks over depth, width and kernel",
        measure=_theory,
        steps={"digits": 75.0 * shapes},
    )
    each = at.trained_seeds * sum(map(len, at.grown.values())) * at.steps * at.cost
    return [theory, *(_trained_piece(scale, init, batch, each) for init in INITS for batch in (0, at.batch))]


def _trained_piece(scale: str, init: str, batch: int, steps: float) -> Piece:
    at, what = SIZES[scale], f"batches of {batch}" if batch else "full batch"
    items = [
        _Grown(scale, model, init, axis, size, batch, seed)
        for (model, axis), sizes in at.grown.items()
        for size in sizes
        for seed in range(at.trained_seeds)
    ]

    def measure(lab: Lab) -> Mapping[str, Any]:
        found = lab.map(partial(_trained, device=str(lab.device)), items)
        return {"trends": plain(_trends(items, found))}

    return Piece(
        name=f"{init}-{f'batch-{batch}' if batch else 'full-batch'}",
        says=f"trainings of growing networks, {init} weights, {what}",
        measure=measure,
        steps={at.step: steps},
    )


def _theory(lab: Lab) -> Mapping[str, Any]:
    items = [_Linear(lab.scale, activation, init) for activation in ("swish", "linear") for init in INITS]
    return {"trends": plain([trend for found in lab.map(_linearised, items) for trend in found])}


def _linearised(one: _Linear) -> list[Trend]:
    at = SIZES[one.scale]
    gain = kept_gain(one.activation) if one.init == "kept" else _USUAL_GAIN
    sweep = complexity_sweep(
        depths=at.depths,
        widths=at.widths,
        kernels=at.kernels,
        seeds=range(at.seeds),
        activation=one.activation,
        gain=gain,
    )
    return [
        Trend(
            network=f"{one.activation} cnn",
            by="theory",
            init=one.init,
            axis=trend.axis,
            batch=0,
            when="start",
            sizes=trend.sizes,
            **_fit(trend.sizes, {(seed,): row for seed, row in zip(sweep.seeds, trend.edge_lr, strict=True)}),
        )
        for trend in sweep.trends
    ]


def _fit(sizes: Sequence[int], lines: Mapping[tuple[Any, ...], Sequence[float]]) -> dict[str, Any]:
    """Return rates and exponent; a line in which one is missing or unbounded is left out whole."""
    rows = {key: np.asarray(line, dtype=float) for key, line in lines.items()}
    whole = {key: row for key, row in rows.items() if np.isfinite(row).all() and (row > 0).all()}
    rates = np.exp(np.mean([np.log(row) for row in whole.values()], axis=0)).tolist() if whole else []
    return {"rates": rates, "exponent": power_of_size(np.log(sizes), whole)}


def _trained(one: _Grown, device: str) -> tuple[float, float]:
    """Return the stable learning rate at the first measurement and the lowest; NaN of a training that diverged."""
    at = SIZES[one.scale]
    settings = EosSettings(steps=at.steps, every=at.every, twins=0, seed=one.seed)
    found = follow(_task(one), settings, device=torch.device(device), looks=False)
    lr, ratio = found.arrays["lr"], found.arrays["ratio"]
    usable = np.isfinite(ratio) & (ratio > 0)
    if found.status != RunStatus.OK or not usable.any():
        return float("nan"), float("nan")
    rates = lr[usable] / ratio[usable]
    return float(rates[0]), float(rates.min())


def _task(one: _Grown) -> Task:
    at, shape = SIZES[one.scale], {**_BASE[one.model], one.axis: one.size}
    batch = one.batch or at.train_size
    config = TaskConfig(
        task=at.task,
        model=one.model,
        optimizer="sgd",
        lr=at.lr[one.model],
        momentum=0.0,
        nesterov=False,
        weight_decay=0.0,
        schedule="constant",
        activation="tanh",
        loss="squared-error",
        norm="none",
        augment="none",
        train_size=at.train_size,
        batch_size=batch,
        epochs=-(-at.steps // max(1, at.train_size // batch)),
        **shape,
    )
    task = build_task(config)
    assert isinstance(task, Task)
    return replace(task, model=partial(_kept, task.model)) if one.init == "kept" else task


def _kept(model: Any) -> nn.Module:
    return kept_init(model(), "tanh")


def _trends(items: Sequence[_Grown], found: Sequence[tuple[float, float]]) -> list[Trend]:
    groups: dict[tuple[str, str], _Lines] = defaultdict(lambda: defaultdict(dict))
    for one, rates in zip(items, found, strict=True):
        groups[one.model, one.axis][(one.seed,)][one.size] = rates
    # What the first measurement says is that of the full batch.
    first, whens = items[0], (("start", 0), ("lowest", 1))[1 if items[0].batch else 0 :]
    trends = []
    for (model, axis), lines in groups.items():
        sizes = sorted(next(iter(lines.values())))
        for when, place in whens:
            rows = {seed: [by_size[size][place] for size in sizes] for seed, by_size in lines.items()}
            known: dict[str, Any] = {"init": first.init, "axis": axis, "batch": first.batch, "when": when}
            trends.append(Trend(network=f"tanh {model}", by="training", sizes=sizes, **known, **_fit(sizes, rows)))
    return trends


def gathered(pieces: Mapping[str, Mapping[str, Any]]) -> Trends:
    """Return the trends of all pieces."""
    trends = [one for piece in pieces.values() for one in piece["trends"]]
    return Trends(trends=tuple(Trend(**{**one, "exponent": Estimate(**one["exponent"])}) for one in trends))
