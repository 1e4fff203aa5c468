"""C3: the growth of a last-bit difference is an instability of the step, and not an accumulation of rounding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lastbit.report.blocks import Column, Table, table_of
from lastbit.report.figures.printed import Drawing, Panel, Series
from lastbit.report.figures.style import NEUTRAL
from lastbit.report.formatting import count, number, plural
from lastbit.stats import Estimate, mean_estimate, not_measured
from lastbit.studies.paper.claim import Claim, Form, Judged, Number, Piece, computed, held, not_held, undecided
from lastbit.studies.paper.claims.c03_measure import ACTIVATIONS, SIZES, Swept, Twin, from_plain, measure
from lastbit.studies.paper.lab import Lab
from lastbit.studies.paper.rules import most

__all__ = ["CLAIM", "judge_found", "judge_published"]

_SAME_LEVEL = 1.0
"""Decades within which two levels are the same."""

_FALLS = 0.25
"""Power of the learning rate above which growth on scaled time falls with it: a quarter of the rate takes 30% off.
About half of what a pilot on another seed showed (0.56), so that a sample can tell it from no dependence, 0."""

_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00")


def _control(measured: Swept) -> Judged | None:
    odd = [one for one in measured.trainings if not one.sound]
    if odd:
        where = f"{odd[0].activation}, {odd[0].dtype}, rate {number(odd[0].lr)}"
        return undecided(f"a control failed ({where}), so no growth is the last bit's")
    kinds = {(one.activation, one.dtype) for one in measured.trainings}
    if len(measured.rates) < 2 or kinds != {(a, d) for a in ACTIVATIONS for d in ("float32", "float64")}:
        return undecided("not every activation and format was measured at two rates or more")
    if not all(math.isfinite(twin.distance[-1]) and twin.distance[-1] > 0 for twin in measured.twins()):
        return undecided("a twin diverged, or never differed at the end, so its level is not known")
    return None


def _left(name: str, says: str, twins: Sequence[Twin]) -> tuple[bool | None, Number, str]:
    """Return whether most of some twins left what rounding adds up to, the number, and it in words."""
    left = sum(twin.left for twin in twins)
    answer, chance = most(left, len(twins))
    number_ = Number(name=name, says=f"chance that a twin leaves what rounding adds up to, {says}", value=chance)
    return answer, number_, f"{left} of {plural(len(twins), 'twin')}"


def _level(levels: Sequence[float]) -> tuple[bool, Number]:
    """Return whether float64 reaches the level of float32, and by how much they differ."""
    widest = max(levels, key=abs)
    value = computed(widest, len(levels), "the widest of these pairs")
    says = "level of float64 over that of float32 at the highest rate"
    return abs(widest) <= _SAME_LEVEL, Number(name="level", says=says, value=value, unit="decades", reference=0.0)


def _mean(values: Sequence[float]) -> Estimate:
    return mean_estimate(values) if values else not_measured("a twin did not grow")


def _power(measured: Swept, activation: str) -> Number:
    return Number(
        name=f"power_{activation}",
        says=f"power of the learning rate with which growth on scaled time goes, {activation}",
        value=_mean(measured.powers(activation)),
        reference=0.0,
        source="growth that does not depend on the rate",
    )


def judge_published(measured: Swept) -> Judged:
    """Hold the claim where twins leave the bound at the highest rate and not at the lowest, at one level."""
    failed = _control(measured)
    if failed is not None:
        return failed
    high, low = measured.rates[0], measured.rates[-1]
    grows, at_high, of_high = _left("left_high", f"rate {number(high)}", measured.twins(lr=high))
    remains, at_low, of_low = _left("left_low", f"rate {number(low)}", measured.twins(lr=low))
    same, level = _level(measured.levels())
    numbers = (at_low, at_high, level, *(_power(measured, activation) for activation in ACTIVATIONS))
    said = (
        f"{of_high} leave what rounding adds up to at rate {number(high)}, and {of_low} at rate {number(low)} over the "
        f"same scaled time; float64 ends {number(level.value.estimate, 2)} decades from float32"
    )
    if remains or (grows and not same):
        return not_held(said, *numbers)
    if grows and remains is False:
        return held(said, *numbers)
    return undecided(said, *numbers)


def judge_found(measured: Swept) -> Judged:
    """Hold the claim where growth falls with the rate for the smooth activation, and ReLU amplifies at every rate."""
    failed = _control(measured)
    if failed is not None:
        return failed
    smooth, relu = _power(measured, "swish"), _power(measured, "relu")
    same, level = _level(measured.levels("swish"))
    amplifies, at_any, of_any = _left(
        "left_relu", "ReLU in float32", measured.twins(activation="relu", dtype="float32")
    )
    low, high = smooth.value.low, smooth.value.high
    falls = None if low is None or high is None else True if low > _FALLS else False if high < _FALLS else None
    said = (
        f"with swish the growth on scaled time goes with the rate to the power {number(smooth.value.estimate, 2)}, and "
        f"float64 ends {number(level.value.estimate, 2)} decades from float32; with ReLU {of_any} leave what rounding "
        "adds up to, all rates together"
    )
    numbers = (smooth, level, at_any, relu)
    if falls is False or not same or amplifies is False:
        return not_held(said, *numbers)
    return (held if falls and amplifies else undecided)(said, *numbers)


def _swept(activation: str, lab: Lab) -> Mapping[str, Any]:
    size = SIZES[lab.scale]
    settings = {**size.settings, "twins": size.twins, "activation": activation}
    return {"trainings": measure(lab, size.task, size.rates, size.seeds, settings)}


def _pieces(scale: str) -> Sequence[Piece]:
    size = SIZES[scale]
    runs = 2 * len(size.seeds) * (size.twins + 2) * sum(size.rates[0] / rate for rate in size.rates)

    def piece(activation: str) -> Piece:
        return Piece(
            name=activation,
            says=f"{plural(len(size.rates), 'learning rate')} in two formats with {activation}",
            measure=lambda lab: _swept(activation, lab),
            steps={size.measured: runs * size.steps * size.dearer},
        )

    return tuple(map(piece, ACTIVATIONS))


def _gather(pieces: Mapping[str, Mapping[str, Any]]) -> Swept:
    return Swept(
        trainings=tuple(
            from_plain(activation, one) for activation in ACTIVATIONS for one in pieces[activation]["trainings"]
        )
    )


def _drawings(measured: Swept) -> Sequence[Drawing]:
    describe = "The distance of twins over scaled time at several learning rates, in either format, with"
    return tuple(
        Drawing(
            name=f"rates-{activation}",
            panels=[_panel(measured, activation, dtype) for dtype in ("float32", "float64")],
            describe=f"{describe} {activation}",
        )
        for activation in ACTIVATIONS
    )


def _panel(measured: Swept, activation: str, dtype: str) -> Panel:
    """Return the curves of one activation in one format, of its first seed."""
    mine = [one for one in measured.trainings if (one.activation, one.dtype) == (activation, dtype)]
    shown = [one for one in mine if one.seed == mine[0].seed]
    series = [
        Series(
            label=f"lr {number(one.lr)}" if place == 0 else "",
            x=[step * one.lr for step in one.steps],
            y=[x if x > 0 else math.nan for x in twin.distance],
            colour=_COLOURS[measured.rates.index(one.lr) % len(_COLOURS)],
        )
        for one in shown
        for place, twin in enumerate(one.twins)
    ]
    series += [
        Series(
            label="what rounding adds up to" if one is shown[0] else "",
            x=[step * one.lr for step in one.steps],
            y=one.bound,
            mark="dashed",
            colour=NEUTRAL,
        )
        for one in shown
    ]
    return Panel(
        title=f"{activation}, {dtype}",
        x_label="scaled time: learning rate x steps",
        y_label="relative L2 distance of the weights",
        series=series,
        log_y=True,
    )


def _tables(measured: Swept) -> Sequence[Table]:
    each = {
        Column("activation"): lambda one: one.activation,
        Column("format"): lambda one: one.dtype,
        Column("seed", True): lambda one: count(one.seed),
        Column("learning rate", True): lambda one: number(one.lr),
        Column("steps", True): lambda one: count(one.steps[-1]),
        Column("growth, nats per unit of scaled time", True): lambda one: number(
            float(np.mean([twin.rate for twin in one.twins])) / one.lr, 3
        ),
        Column("relative L2 at the end", True): lambda one: number(
            float(np.exp(np.mean([math.log(twin.distance[-1]) for twin in one.twins])))
            if all(twin.distance[-1] > 0 for twin in one.twins)
            else None,
            2,
        ),
        Column("rounding adds up to", True): lambda one: number(one.bound[-1], 2),
        Column("twins that left it", True): lambda one: f"{sum(t.left for t in one.twins)} of {len(one.twins)}",
    }
    caption = (
        "Every rate is trained for the same product of rate and steps. Means over the twins, geometric of distances."
    )
    return (table_of(measured.trainings, each, caption=caption),)


def _remarks(measured: Swept) -> Sequence[str]:
    low = measured.rates[-1]
    stays = {name: sum(twin.left for twin in measured.twins(activation=name, lr=low)) for name in ACTIVATIONS}
    power = number(_power(measured, "swish").value.estimate, 2)
    found = []
    if stays["swish"]:
        found.append(
            f"Even at rate {number(low)}, smooth twins leave what rounding adds up to. Their growth on "
            f"scaled time goes with the rate to the power {power}: a power vanishes only towards rate 0, which "
            "takes as many more steps, so it was not seen to vanish here. Medium scale goes down to a sixteenth of the "
            "highest rate."
        )
    if stays["relu"]:
        found.append(
            "With ReLU a unit that is on in one run and off in the other is a jump of the gradient at any step size: "
            "a lower rate does not remove it."
        )
    return found


CLAIM = Claim[Swept](
    id="C3",
    title="The growth is an instability of the step, and no accumulation of rounding",
    printed="the figure of the divergence over learning rates, and in float64",
    published=Form(
        says="On the same scaled time a lower learning rate makes the growth of a last-bit difference vanish; float64 "
        "starts 2^29 lower and reaches the same level.",
        rule="Held if at the highest rate most twins, of either activation and format, leave what accumulated rounding "
        "explains, at the lowest most stay within it, and at the highest every twin in float64 ends within one decade "
        "of its sibling in float32; not held if most leave it at the lowest rate too, or a level differs by more; "
        "undecided where a 90% interval holds one half, nothing leaves it at the highest rate, or a control failed.",
        judge=judge_published,
    ),
    found=Form(
        says="With a smooth activation the growth on scaled time falls with the learning rate, and float64 reaches the "
        "level of float32; with ReLU the switching of units amplifies at any rate.",
        rule="Held if the growth of swish twins per unit of scaled time goes with a power of the rate above 1/4 (the "
        "whole 95% interval), float64 ends within one decade of float32 at the highest rate, and most ReLU twins in "
        "float32, all rates together, leave what rounding explains; not held if the whole interval lies below 1/4, a "
        "level differs by more, or most ReLU twins stay; undecided otherwise.",
        judge=judge_found,
    ),
    scales={
        "small": "a small network on the digits, rates 0.6 to 0.15, 2 twins",
        "medium": "a small network on the digits, rates 0.6 to 0.075, 2 seeds with 2 twins each",
        "full": "ResNet-56 on CIFAR-10, rates 0.1 to 0.0125 for 200 to 1,600 epochs, 6 seeds with 5 twins each",
    },
    pieces=_pieces,
    gather=_gather,
    drawings=_drawings,
    tables=_tables,
    remarks=_remarks,
)
"""The claim."""
