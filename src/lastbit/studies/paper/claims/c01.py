"""C1: a perturbation of the last bit grows to order one in the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lastbit.core.plain import plain
from lastbit.report.blocks import Column, Table, table_of
from lastbit.report.figures.printed import Drawing, Level, Panel, Series
from lastbit.report.figures.style import LAST_BIT, REAL, SAMPLING, SEED
from lastbit.report.formatting import count, number, plural
from lastbit.stats import mean_estimate
from lastbit.studies.paper.claim import Claim, Form, Judged, Number, Piece, computed, held, not_held, undecided
from lastbit.studies.paper.lab import Lab
from lastbit.studies.paper.rules import most
from lastbit.studies.paper.traced import Arrays, TracedSize, floats, trace_each
from lastbit.studies.trace.twins_found import TwinsFound

__all__ = ["CLAIM", "SIZES", "Apart", "Diverged", "judge"]

_LAST_BIT, _ORDER_ONE = 1e-7, 1e-1
"""Mean relative L1 differences: of weights in float32 whose last bit differs, and of weights that are others."""

_COLOURS = (LAST_BIT, SEED, REAL, "#e69f00", "#56b4e9", SAMPLING)


SIZES: Mapping[str, TracedSize] = {
    "small": TracedSize(task="digits", seeds=3, twins=4, steps=620, measured="digits", dearer=2.5),
    "medium": TracedSize(
        task="fashion-mnist",
        seeds=2,
        twins=3,
        steps=320,
        measured="fashion",
        dearer=0.6,
        settings={"model": "resnet8", "width": 8, "train_size": 2048, "epochs": 20},
    ),
    "full": TracedSize(
        task="cifar10",
        seeds=6,
        twins=5,
        steps=78_200,
        measured="cifar",
        dearer=1.1,
        settings={"model": "resnet56", "epochs": 200, "schedule": "step"},
    ),
}
"""By scale. Perturbed by k = 3, 5, 7, ...; the base run is k = 1, so 5 twins are the six published perturbations."""


@dataclass(frozen=True, kw_only=True)
class Apart:
    """How far the twins of one training were from their base run.

    Attributes:
        seed: of the training.
        repeats: whether the exact repeat agreed in every bit of every weight and loss.
        steps: recorded.
        control: mean relative L1 difference of the exact repeat over all weights, at each of them.
        twins: the same of every perturbed twin.
    """

    seed: int
    repeats: bool
    steps: tuple[int, ...]
    control: tuple[float, ...]
    twins: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Diverged:
    """What was measured: one entry for each training."""

    trainings: tuple[Apart, ...]

    @property
    def landed(self) -> list[tuple[int, tuple[float, ...]]]:
        """Seed and curve of every twin in which the perturbation was seen."""
        return [(one.seed, twin) for one in self.trainings for twin in one.twins if any(x != 0 for x in twin)]


def _start(twin: Sequence[float]) -> float:
    return next(x for x in twin if x != 0)


def judge(measured: Diverged) -> Judged:
    """Hold the claim where the control is 0, every twin starts at the last bit, and most end at order one."""
    odd = [one for one in measured.trainings if not one.repeats or any(x != 0 for x in one.control)]
    if odd:
        worst = max((x for x in odd[0].control if math.isfinite(x)), default=0.0)
        control = Number(name="control", says="largest difference of an exact repeat", value=computed(worst))
        return not_held(f"the exact repeat of seed {odd[0].seed} differs, so no growth is the last bit's", control)
    landed = measured.landed
    if not landed:
        return undecided("no perturbation was seen in any weight")
    control = Number(
        name="control",
        says="largest difference of an exact repeat, mean relative L1",
        value=computed(0.0, len(measured.trainings), "equal in every bit"),
        reference=0.0,
        source="published: exactly 0",
    )
    ends = [twin[-1] for _, twin in landed]
    answer, chance = most(sum(end >= _ORDER_ONE for end in ends), len(ends))
    first = max(_start(twin) for _, twin in landed)
    grown = Number(name="reached", says="chance that a twin ends at 0.1 or more", value=chance)
    start = Number(
        name="start",
        says="largest first difference of a twin, mean relative L1",
        value=computed(first if math.isfinite(first) else None, len(ends), "the largest that was seen"),
    )
    seeds = [seed for seed, _ in landed]
    finite = all(map(math.isfinite, ends))
    mean = mean_estimate(ends, seeds=seeds).truncated(0.0, 2.0) if finite else computed(None, note="a twin diverged")
    final = Number(name="final", says="difference at the end, mean over twins of the mean relative L1", value=mean)
    numbers = (grown, final, start, control)
    reached = f"{sum(end >= _ORDER_ONE for end in ends)} of {plural(len(ends), 'twin')} end at 0.1 or more"
    if not first <= _LAST_BIT:
        return not_held(f"a twin starts at {number(first, 2)}, which is more than the last bit", *numbers)
    if answer is None:
        return undecided(f"{reached}, which leaves open whether most do", *numbers)
    said = f"{reached}; all start at {number(first, 2)} or less, and the exact repeats differ by 0"
    return (held if answer else not_held)(said, *numbers)


def _kept(found: TwinsFound, arrays: Arrays) -> Mapping[str, Any]:
    distances = arrays["all_mean_relative_l1"]
    control, *twins = distances
    repeats = found.control is not None and found.control.first_difference is None
    return {"repeats": repeats, "steps": plain(arrays["step"]), "control": plain(control), "twins": plain(twins)}


def _trainings(lab: Lab) -> Mapping[str, Any]:
    return {"trainings": trace_each(lab, SIZES[lab.scale].trainings, _kept)}


def _pieces(scale: str) -> Sequence[Piece]:
    size = SIZES[scale]
    return (
        Piece(
            name="twins",
            says=f"{plural(size.seeds, 'training')} with {plural(size.twins, 'twin')} each",
            measure=_trainings,
            steps=size.cost,
        ),
    )


def _gather(pieces: Mapping[str, Mapping[str, Any]]) -> Diverged:
    return Diverged(
        trainings=tuple(
            Apart(
                seed=seed,
                repeats=one["repeats"],
                steps=tuple(one["steps"]),
                control=floats(one["control"]),
                twins=tuple(map(floats, one["twins"])),
            )
            for seed, one in enumerate(pieces["twins"]["trainings"])
        )
    )


def _drawings(measured: Diverged) -> Sequence[Drawing]:
    curves, controls = [], []
    for place, one in enumerate(measured.trainings):
        colour = _COLOURS[place % len(_COLOURS)]
        for index, twin in enumerate(one.twins):
            shown = [x if x > 0 else math.nan for x in twin]
            label = f"twins of seed {one.seed}" if index == 0 else ""
            curves.append(Series(label=label, x=one.steps, y=shown, colour=colour))
        controls.append(Series(label=f"seed {one.seed}", x=one.steps, y=one.control, colour=colour))
    levels = (Level(value=_ORDER_ONE, label="order one: 0.1"), Level(value=_LAST_BIT, label="the last bit: 1e-7"))
    return (
        Drawing(
            name="twins",
            panels=(
                Panel(
                    title="Twins whose updates round otherwise",
                    x_label="step",
                    y_label="mean relative L1 difference",
                    series=curves,
                    levels=levels,
                    log_y=True,
                ),
                Panel(
                    title="Control: the exact repeats",
                    x_label="step",
                    y_label="mean relative L1 difference",
                    series=controls,
                ),
            ),
            describe="The difference of perturbed twins from their base over the steps, and that of exact repeats",
        ),
    )


def _tables(measured: Diverged) -> Sequence[Table]:
    rows = [(one, index, twin) for one in measured.trainings for index, twin in enumerate(one.twins)]

    def reached(row: tuple[Apart, int, tuple[float, ...]]) -> str:
        at = [step for step, x in zip(row[0].steps, row[2], strict=True) if x >= _ORDER_ONE]
        return count(at[0] if at else None, "never")

    each = {
        Column("seed", True): lambda row: count(row[0].seed),
        Column("k", True): lambda row: count(2 * row[1] + 3),
        Column("first difference", True): lambda row: number(_start(row[2]), 2) if any(row[2]) else "0",
        Column("at the end", True): lambda row: number(row[2][-1], 2),
        Column("0.1 reached at step", True): reached,
        Column("its exact repeat", True): lambda row: number(float(np.nanmax(row[0].control)), 2),
    }
    return (table_of(rows, each, caption="Mean relative L1 difference from the base run, over all weights."),)


def _remarks(measured: Diverged) -> Sequence[str]:
    stayed = [twin for _, twin in measured.landed if not twin[-1] >= _ORDER_ONE]
    if not stayed:
        return ()
    return (
        f"{plural(len(stayed), 'twin')} did not reach 0.1. With ReLU a difference jumps where a unit switches in one "
        "run and not in the other (claim C3): a twin that meets no switch in time stays near its base.",
    )


CLAIM = Claim[Diverged](
    id="C1",
    title="A perturbation of the last bit grows to order one in the weights",
    printed="the figure of the divergence of perturbed runs",
    published=Form(
        says="Runs that differ in the last bit of their updates end at weights that differ by order one.",
        rule="Held if every exact repeat differs by exactly 0, every twin starts at a mean relative L1 difference of "
        "at most 1e-7, and most twins end at 0.1 or more (the 90% interval of the chance lies above one half); not "
        "held if a repeat differs, a twin starts higher, or most end below 0.1; undecided otherwise.",
        judge=judge,
    ),
    scales={
        "small": "a small network on the digits, 3 seeds with 4 twins each",
        "medium": "ResNet-8 of width 8 on 2,048 images of Fashion-MNIST, 2 seeds with 3 twins each",
        "full": "ResNet-56 on CIFAR-10, 200 epochs, 6 seeds with 5 twins each",
    },
    pieces=_pieces,
    gather=_gather,
    drawings=_drawings,
    tables=_tables,
    remarks=_remarks,
)
"""The claim."""
