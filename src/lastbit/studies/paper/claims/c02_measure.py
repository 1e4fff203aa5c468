"""What C2 trains: a grid of seeds and perturbations for each optimizer, format and network, at each scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lastbit.core.plain import plain
from lastbit.report.formatting import plural
from lastbit.stats import Estimate
from lastbit.studies.paper.claim import Piece
from lastbit.studies.paper.lab import Lab

__all__ = ["CALM", "ESTIMATES", "RESTLESS", "ROWS", "SIZES", "Grid", "Size", "grid_of", "pieces", "settings_of"]

RESTLESS, CALM = "nesterov", "none"
"""The two rows that `found` compares: large steps with batch norm, small ones without."""

ROWS: Mapping[str, str] = {
    "sgd": "SGD",
    "momentum": "momentum 0.9",
    RESTLESS: "Nesterov 0.9",
    "adamw": "AdamW",
    "float64": "Nesterov, float64",
    "swish": "Nesterov, swish",
    CALM: "Nesterov, no norm, small steps",
}
"""What is trained, by the name of its piece; with ReLU, batch norm and float32 where nothing else is said."""

_CHANGES: Mapping[str, Mapping[str, Any]] = {
    "sgd": {"momentum": 0.0, "nesterov": False},
    "momentum": {"nesterov": False},
    "adamw": {"optimizer": "adamw"},
    "float64": {"dtype": "float64"},
    "swish": {"activation": "swish"},
    CALM: {"norm": "none", "weight_decay": 5e-4},
}
"""How a row differs from Nesterov's."""

ESTIMATES = {
    "last_bit": "sigma_last_bit",
    "seeds": "sigma_seed",
    "total": "sigma_total",
    "share": "last_bit_variance_share",
    "distance": "weight_distance_last_bit",
    "churn_last_bit": "churn_last_bit",
    "churn_seeds": "churn_seed",
}
"""Estimates of a grid, and what an audit calls them."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is trained at a scale.

    Attributes:
        task: built-in.
        seeds: each another order of the batches, all from the same initial weights.
        others: seeds of the rows that take another number: more where a share would stay undecided, fewer where a step
            is several times as dear.
        memory_format: of the networks; those in float64 gain nothing from another.
        perturbations: runs of each seed, the unperturbed one among them.
        rates: learning rates of the rows that do not take Nesterov's. Plain SGD takes ten times as much, which is what
            momentum 0.9 makes of a step.
        step: which of `expected.STEPS` resembles a step.
        steps: how many of them a run takes, its evaluations included.
        begin: and how many it takes to begin a study.
        settings: of the task.
    """

    task: str
    seeds: int
    perturbations: int
    rates: Mapping[str, float]
    step: str
    steps: float
    begin: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, int] = field(default_factory=dict)
    memory_format: str = "contiguous"


SIZES: Mapping[str, Size] = {
    "small": Size(
        task="digits",
        seeds=9,
        perturbations=3,
        rates={"sgd": 3.0, "adamw": 0.01, CALM: 0.05},
        step="digits",
        steps=480,
        begin=3000,
        settings={"lr": 0.3, "weight_decay": 5e-3, "epochs": 10},
        others={RESTLESS: 18},
    ),
    "medium": Size(
        task="fashion-mnist",
        seeds=6,
        perturbations=3,
        rates={"sgd": 3.0, "adamw": 0.01, CALM: 0.01},
        step="fashion",
        steps=40,
        begin=40,
        others={"float64": 3},
        memory_format="channels_last",
        settings={
            "model": "resnet8",
            "width": 8,
            "lr": 0.3,
            "weight_decay": 5e-3,
            "epochs": 1,
            "train_size": 12_000,
            "batch_size": 64,
        },
    ),
    "full": Size(
        task="cifar10",
        seeds=6,
        perturbations=6,
        rates={"sgd": 1.0, "adamw": 1e-3, CALM: 0.01},
        step="cifar",
        steps=1.1 * 390 * 200,
        settings={
            "model": "resnet56",
            "lr": 0.1,
            "momentum": 0.9,
            "weight_decay": 5e-4,
            "batch_size": 128,
            "schedule": "step",
            "epochs": 200,
        },
    ),
}
"""By scale. `full` is the published one; the two smaller ones decay more strongly, so that a short training forgets
its start."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The spread of one training over seeds and perturbations, of its test accuracy in percent.

    Attributes:
        scale: at which it was measured.
        name: of the row.
        verdict_kind: of the audit; its controls passed where there is a share.
        mean: over all runs.
        last_bit: SD over perturbations of one seed.
        seeds: SD over seeds, without the last bit's.
        total: SD of a fresh run with a fresh seed.
        share: of the variance, that is the last bit's.
        distance: mean relative L1 distance of the weights of one seed's runs.
        churn_last_bit: share of the test examples on which two runs of one seed disagree.
        churn_seeds: the same of two seeds.
        labels: of the perturbations.
        accuracies: of each perturbation, by seed; None where a run has none.
        diverged: runs that did.
    """

    scale: str
    name: str
    verdict_kind: str
    mean: Estimate
    last_bit: Estimate
    seeds: Estimate
    total: Estimate
    share: Estimate
    distance: Estimate
    churn_last_bit: Estimate
    churn_seeds: Estimate
    labels: Sequence[str]
    accuracies: Sequence[Sequence[float | None]]
    diverged: int


def settings_of(row: str, size: Size) -> dict[str, Any]:
    """Return the settings of a row's training."""
    chosen = {**size.settings, **_CHANGES.get(row, {})}
    if row in size.rates:
        chosen["lr"] = size.rates[row]
    if chosen.get("optimizer") == "adamw":  # it has a momentum and a decay of its own
        chosen = {name: value for name, value in chosen.items() if name not in ("momentum", "weight_decay")}
    return chosen


def _audit(row: str, lab: Lab) -> Mapping[str, Any]:
    size = SIZES[lab.scale]
    grid = {"seeds": size.others.get(row, size.seeds), "perturbations": size.perturbations, "vary": "order"}
    memory_format = "contiguous" if _in_float64(row) else size.memory_format
    study = lab.study("audit", row, size.task, **grid, memory_format=memory_format, **settings_of(row, size))
    result, runs = study.result, study.to_xarray()
    final = runs["accuracy"].isel(epoch=-1).transpose("perturbation", "seed")
    return {
        "scale": lab.scale,
        "name": row,
        "verdict_kind": result.verdict_kind,
        "mean": plain(result.metric.mean),
        **{name: plain(getattr(result, called)) for name, called in ESTIMATES.items()},
        "labels": plain(runs["label"].isel(seed=0).values),
        "accuracies": plain(final.values),
        "diverged": result.divergence.diverged if result.divergence else 0,
    }


def grid_of(measured: Mapping[str, Any]) -> Grid:
    """Return a grid from what its piece measured."""
    estimates = {name: Estimate(**measured[name]) for name in ("mean", *ESTIMATES)}
    return Grid(**{**measured, **estimates})


def pieces(scale: str) -> Sequence[Piece]:
    """Return one audit for each row."""
    return [_piece(name, SIZES[scale]) for name in ROWS]


def _in_float64(row: str) -> bool:
    return _CHANGES.get(row, {}).get("dtype") == "float64"


def _piece(name: str, size: Size) -> Piece:
    seeds = size.others.get(name, size.seeds)
    step = f"{size.step} in float64" if _in_float64(name) else size.step
    return Piece(
        name=name,
        says=f"{ROWS[name]}: {plural(seeds, 'seed')} by {plural(size.perturbations, 'perturbation')}",
        measure=partial(_audit, name),
        steps={step: size.begin + size.steps * seeds * (size.perturbations + 1)},
    )
