"""What C10 measures: trainings followed along their edge, full batch and mini-batches, with a twin beside each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, cast

import xarray as xr

from lastbit.core.plain import plain
from lastbit.core.status import RunStatus
from lastbit.report.formatting import number
from lastbit.stats import Estimate, mean_estimate, not_measured
from lastbit.studies.eos.cell_result import EosCell
from lastbit.studies.eos.result import EosStudy
from lastbit.studies.paper.claim import Piece
from lastbit.studies.paper.lab import Lab

__all__ = ["SIZES", "Course", "Edges", "Size", "Training", "gathered", "grouped", "over_seeds", "pieces_of"]

CONTRAST = 0.05, 0.95
"""Between which the share of the steps above the threshold must lie: else there is nothing to set growth against."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """One study of a scale.

    Attributes:
        name: of its piece.
        network: what is trained, in words.
        task: the images.
        step: the measured step that its cost is told in.
        cost: how many of those one of its steps is worth, twin, repeat and measurements included.
        settings: of `lastbit eos`; several rates from the smallest up.
    """

    name: str
    network: str
    task: str
    step: str
    cost: float
    settings: Mapping[str, Any]

    @property
    def batch(self) -> int:
        """Examples in a step; 0 where it is all of them."""
        return int(self.settings.get("batch_size", 0))

    @property
    def steps(self) -> Mapping[str, float]:
        """What it costs, over all rates and seeds."""
        trainings = self.settings["seeds"] * len(self.settings["lr"])
        return {self.step: self.cost * self.settings["steps"] * trainings}


def _sizes(
    task: str, step: str, common: Mapping[str, Any], *rows: tuple[str, str, float, Mapping[str, Any]]
) -> tuple[Size, ...]:
    return tuple(
        Size(name=name, network=network, task=task, step=step, cost=cost, settings={**common, **own})
        for name, network, cost, own in rows
    )


_MLP, _CNN = "tanh mlp", "tanh cnn"
_PLAIN_CNN: Mapping[str, Any] = {"model": "cnn", "depth": 2, "width": 8, "kernel": 3}

SIZES: Mapping[str, tuple[Size, ...]] = {
    "small": _sizes(
        "digits",
        "digits",
        {"seeds": 3, "twins": 1, "every": 9},
        ("mlp", _MLP, 9.0, {"lr": (0.1, 0.2), "steps": 1000}),
        ("cnn", _CNN, 13.0, {**_PLAIN_CNN, "train_size": 200, "lr": (0.4,), "steps": 900, "every": 13}),
        ("batch-32", _MLP, 4.5, {"lr": (0.2,), "batch_size": 32, "steps": 1500, "every": 25}),
        ("batch-128", _MLP, 4.5, {"lr": (0.2,), "batch_size": 128, "steps": 1500, "every": 25}),
    ),
    "medium": _sizes(
        "fashion-mnist",
        "fashion",
        {"seeds": 3, "twins": 1, "every": 9},
        ("mlp", _MLP, 0.07, {"lr": (0.02, 0.04), "steps": 1500}),
        ("cnn", _CNN, 1.5, {**_PLAIN_CNN, "train_size": 300, "lr": (0.2,), "steps": 600}),
        ("batch-32", _MLP, 0.07, {"lr": (0.04,), "batch_size": 32, "steps": 3000, "every": 15}),
        ("batch-128", _MLP, 0.1, {"lr": (0.04,), "batch_size": 128, "steps": 3000, "every": 15}),
    ),
    "full": _sizes(
        "cifar10",
        "cifar",
        {"seeds": 6, "twins": 6, "every": 15, "train_size": 5000},
        ("mlp", _MLP, 60.0, {"width": 200, "lr": (0.005, 0.01), "steps": 10_000}),
        ("vgg", "tanh vgg11", 60.0, {"model": "vgg11", "lr": (0.01, 0.02), "steps": 10_000}),
        ("batch-32", _MLP, 1.0, {"width": 200, "lr": (0.01,), "batch_size": 32, "steps": 30_000}),
        ("batch-128", _MLP, 1.0, {"width": 200, "lr": (0.01,), "batch_size": 128, "steps": 30_000}),
    ),
}
"""What is trained at each scale: half the squared error, tanh, gradient descent without momentum or decay. At these
rates training has the time to reach its threshold (pilots with other seeds)."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training against its own threshold.

    Attributes:
        network: in words.
        batch: examples in a step; 0 where it is all of them.
        lr: its rate.
        seed: of the weights.
        unsound: why no growth can be attributed to the last bit; "" where the control passed and the twin landed.
        restrained: whether it stayed finite and its loss was held over the last third.
        threshold: of the sharpness, 2/lr.
        first: sharpness over threshold at the first measurement.
        entered: the first measured step at which the threshold was reached; None where it never was.
        tail: sharpness over threshold, mean of the last third.
        batch_tail: batch sharpness over threshold, likewise; None of a full batch.
        growth: share of the twins' growth where the threshold was exceeded.
        above: share of the steps where it was.
        decades: that the twins' difference rose.
        apart: mean relative difference of the twins' weights at the end.
    """

    network: str
    batch: int
    lr: float
    seed: int
    unsound: str
    restrained: bool
    threshold: float | None
    first: float | None
    entered: int | None
    tail: Estimate
    batch_tail: Estimate | None
    growth: Estimate
    above: float | None
    decades: float | None
    apart: float | None

    @property
    def group(self) -> tuple[str, int, float]:
        """What it has in common with the other seeds."""
        return self.network, self.batch, self.lr

    @property
    def named(self) -> str:
        """The group in words."""
        batches = f", batches of {self.batch}" if self.batch else ""
        return f"{self.network}{batches}, rate {number(self.lr)}"

    @property
    def localised(self) -> float | None:
        """How growth keeps to where the threshold is exceeded: 1 if all does, 0 if it ignores the threshold.

        (share of growth - share of steps) / (1 - share of steps); None where the steps give no contrast.
        """
        share, above = self.growth.estimate, self.above
        if share is None or above is None or not CONTRAST[0] <= above <= CONTRAST[1]:
            return None
        return (share - above) / (1 - above)


@dataclass(frozen=True, kw_only=True)
class Course:
    """One training over its steps, for the figure.

    Attributes:
        network: in words.
        batch: examples in a step; 0 where it is all of them.
        lr: its rate.
        threshold: of the sharpness.
        steps: at which was measured.
        sharpness: at them.
        distance: of the first twin over the norm of the weights, at them.
        batch_steps: at which batch sharpness was measured.
        batch_sharpness: at them.
    """

    network: str
    batch: int
    lr: float
    threshold: float | None
    steps: Sequence[int]
    sharpness: Sequence[float | None]
    distance: Sequence[float | None]
    batch_steps: Sequence[int]
    batch_sharpness: Sequence[float | None]


@dataclass(frozen=True, kw_only=True)
class Edges:
    """Everything that was measured: all trainings, and the course of the first seed of each rate."""

    trainings: tuple[Training, ...]
    courses: tuple[Course, ...]


def grouped(trainings: Iterable[Training], by: str = "group") -> list[list[Training]]:
    """Return the trainings that are alike in an attribute, those that are alike beside each other."""
    key = attrgetter(by)
    return [list(group) for _, group in groupby(sorted(trainings, key=key), key)]


def over_seeds(group: Sequence[Training], values: Sequence[float | None]) -> Estimate:
    """Return the mean over seeds of a number of each training; nothing where one has none."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return not_measured("a training has no such number", n=len(known))
    return mean_estimate(known, seeds=[one.seed for one in group])


def pieces_of(scale: str) -> Sequence[Piece]:
    """Return one piece for each study of a scale."""
    return [_piece(size) for size in SIZES[scale]]


def _piece(size: Size) -> Piece:
    what = f"batches of {size.batch}" if size.batch else "full batch"

    def measure(lab: Lab) -> Mapping[str, Any]:
        study = cast(EosStudy, lab.study("eos", size.name, size.task, **size.settings))
        cells = study.result.cells
        first = min(cell.seed for cell in cells)
        courses = [_course(size, cell, study.to_xarray(cell.name)) for cell in cells if cell.seed == first]
        return {"trainings": plain([_training(size, cell) for cell in cells]), "courses": plain(courses)}

    return Piece(name=size.name, says=f"{size.network} at its edge, {what}", measure=measure, steps=size.steps)


def _training(size: Size, cell: EosCell) -> Training:
    known = next((ratio for ratio in cell.ratios if ratio is not None), None)
    growth, batch = cell.growth, cell.batch_sharpness
    return Training(
        network=size.network,
        batch=size.batch,
        lr=float(cell.axes["lr"]),
        seed=cell.seed,
        unsound=_unsound(cell),
        restrained=cell.status == RunStatus.OK and cell.held,
        threshold=cell.limit,
        first=known,
        entered=cell.entered_at_step,
        tail=cell.ratio_tail,
        batch_tail=batch.ratio_tail if batch is not None else None,
        growth=growth.share_above_limit if growth else not_measured("no twins were trained"),
        above=growth.share_of_steps_above_limit if growth else None,
        decades=growth.decades if growth else None,
        apart=cell.last_bit.final_relative_l1 if cell.last_bit else None,
    )


def _unsound(cell: EosCell) -> str:
    if cell.control is None or not cell.control.bitwise_identical:
        return "its exact repeat is not identical"
    if cell.landing is None or cell.landing.not_landed:
        return "a perturbation did not land"
    return ""


def _course(size: Size, cell: EosCell, data: xr.Dataset) -> Course:
    batch = cell.batch_sharpness
    return Course(
        network=size.network,
        batch=size.batch,
        lr=float(cell.axes["lr"]),
        threshold=cell.limit,
        steps=cell.steps,
        sharpness=cell.sharpness,
        distance=(data["distance"][1] / data["norm"]).values.tolist(),
        batch_steps=batch.steps if batch else (),
        batch_sharpness=batch.values if batch else (),
    )


def gathered(pieces: Mapping[str, Mapping[str, Any]]) -> Edges:
    """Return all trainings of all pieces."""
    trainings = [one for piece in pieces.values() for one in piece["trainings"]]
    courses = [one for piece in pieces.values() for one in piece["courses"]]
    return Edges(
        trainings=tuple(Training(**{**one, **_estimates(one)}) for one in trainings),
        courses=tuple(Course(**one) for one in courses),
    )


def _estimates(one: Mapping[str, Any]) -> Mapping[str, Estimate | None]:
    found = {name: one[name] for name in ("tail", "batch_tail", "growth")}
    return {name: None if value is None else Estimate(**value) for name, value in found.items()}
