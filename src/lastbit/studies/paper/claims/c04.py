"""C4: the instability is restrained: localised over steps and over regions of the weights, and bounded afterwards."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lastbit.report.blocks import Column, Table, table_of
from lastbit.report.figures.printed import Drawing, Heat, Panel, Series
from lastbit.report.figures.style import LAST_BIT, NEUTRAL
from lastbit.report.formatting import count, number, percent, plural
from lastbit.stats import Estimate, mean_estimate, not_measured
from lastbit.studies.paper.claim import Claim, Form, Judged, Number, Piece, computed, held, not_held, undecided
from lastbit.studies.paper.claims.c04_measure import CHANCE, Grown, from_plain, kept, spread
from lastbit.studies.paper.lab import Lab
from lastbit.studies.paper.rules import most
from lastbit.studies.paper.traced import TracedSize, trace_each

__all__ = ["CLAIM", "SIZES", "Restrained", "judge"]

_FEW_FILTERS = 0.5
"""Of the filters that growth in proportion to their weights would take: effectively this part or less is localised."""


SIZES: Mapping[str, TracedSize] = {
    "small": TracedSize(task="digits", seeds=6, steps=620, measured="digits", dearer=2.5),
    "medium": TracedSize(
        task="fashion-mnist",
        seeds=6,
        steps=320,
        measured="fashion",
        dearer=0.6,
        settings={"model": "resnet8", "width": 8, "train_size": 2048, "epochs": 20},
    ),
    "full": TracedSize(
        task="cifar10",
        seeds=6,
        steps=78_200,
        measured="cifar",
        dearer=1.1,
        settings={"model": "resnet56", "epochs": 200, "schedule": "step"},
    ),
}
"""By scale."""


@dataclass(frozen=True, kw_only=True)
class Restrained:
    """What was measured: one twin of each training."""

    twins: tuple[Grown, ...]

    @property
    def left(self) -> list[Grown]:
        """Those that left what rounding adds up to: the others have no instability to place."""
        return [twin for twin in self.twins if twin.left]


def _mean(values: Sequence[float | None]) -> Estimate:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return mean_estimate(known) if known else not_measured("no twin has it")


def judge(measured: Restrained) -> Judged:
    """Hold the claim where most twins are localised over the steps, over the filters, and level afterwards."""
    unsound = [twin.seed for twin in measured.twins if not twin.sound]
    if unsound:
        return undecided(f"a control of seed {unsound[0]} failed, so no growth is the last bit's")
    left = measured.left
    if not left:
        return undecided(f"none of {plural(len(measured.twins), 'twin')} left what rounding adds up to")
    shares = [spread(twin.filters) for twin in left]
    asked = {
        "in_time": ("has half of its growth in fewer steps than chance", [twin.localised_in_time for twin in left]),
        "in_space": (
            "grows in half of the filters or fewer",
            [share is not None and share <= _FEW_FILTERS for share in shares],
        ),
        "level": ("is level over the last third", [not twin.still_growing for twin in left]),
    }
    answers = {name: (says, *most(sum(found), len(found))) for name, (says, found) in asked.items()}
    chances = [
        Number(name=name, says=f"chance that a twin {says}", value=chance)
        for name, (says, _, chance) in answers.items()
    ]
    numbers = [
        *chances,
        Number(
            name="half_of_growth",
            says="share of the steps that holds half of the growth, mean over twins",
            value=_mean([twin.half for twin in left]).truncated(0.0, 1.0),
            reference=float(np.mean([twin.half_by_chance for twin in left])),
            source="growth divided among the steps by chance is below it once in twenty",
        ),
        Number(
            name="filters",
            says="effective number of filters that grow, over that of even growth, mean over twins",
            value=_mean(shares),
            reference=1.0,
            source="growth in proportion to the weights",
        ),
        Number(
            name="tensors",
            says="effective number of tensors that grow, over that of even growth, mean over twins",
            value=_mean([spread(twin.tensors) for twin in left]),
            reference=1.0,
            source="growth in proportion to the weights",
        ),
        Number(
            name="late_rise",
            says="rise over the last third, mean over twins",
            value=_mean([twin.late_rise for twin in left]),
            unit="decades",
            reference=0.0,
            source="a level",
        ),
        Number(name="left", says="twins that left what rounding adds up to", value=computed(float(len(left)))),
    ]
    tallies = {name: f"{sum(found)} of {plural(len(found), 'twin')}" for name, (_, found) in asked.items()}
    said = (
        f"half of the growth lies in fewer steps than by chance in {tallies['in_time']}, the growth in half of the "
        f"filters or fewer in {tallies['in_space']}, and the last third is level in {tallies['level']}"
    )
    for kind, answer in ((not_held, False), (undecided, None)):
        for place, (_, found, _) in enumerate(answers.values()):
            if found is answer:
                return kind(said, numbers[place], *numbers[:place], *numbers[place + 1 :])
    return held(said, *numbers)


def _twins(lab: Lab) -> Mapping[str, Any]:
    return {"twins": trace_each(lab, SIZES[lab.scale].trainings, kept)}


def _pieces(scale: str) -> Sequence[Piece]:
    size = SIZES[scale]
    return (
        Piece(
            name="twins",
            says=f"{plural(size.seeds, 'training')} with one twin each",
            measure=_twins,
            steps=size.cost,
        ),
    )


def _gather(pieces: Mapping[str, Mapping[str, Any]]) -> Restrained:
    return Restrained(twins=tuple(from_plain(seed, one) for seed, one in enumerate(pieces["twins"]["twins"])))


def _cumulated(twin: Grown) -> tuple[list[float], list[float]]:
    """Return shares of the steps, the fastest first, and the shares of the growth that they hold."""
    spans, gains = np.array(twin.spans, dtype=np.float64), np.array(twin.gains)
    order = np.argsort(-gains / spans)
    steps, grown = np.cumsum(spans[order]), np.cumsum(gains[order])
    return [0.0, *(steps / steps[-1]).tolist()], [0.0, *(grown / grown[-1]).tolist()]


def _drawings(measured: Restrained) -> Sequence[Drawing]:
    left = measured.left
    over = [
        Series(label="twins" if place == 0 else "", x=twin.steps, y=twin.distance, colour=LAST_BIT)
        for place, twin in enumerate(measured.twins)
    ]
    over += [
        Series(label="what rounding adds up to", x=twin.steps, y=twin.bound, colour=NEUTRAL, mark="dashed")
        for twin in measured.twins[:1]
    ]
    q = np.linspace(1e-4, 1.0, 200)
    shares = [
        Series(label="twins" if place == 0 else "", x=x, y=y, colour=LAST_BIT)
        for place, (x, y) in enumerate(map(_cumulated, left))
    ]
    by_chance = Series(label="by chance", x=q.tolist(), y=(q * (1 - np.log(q))).tolist(), colour=NEUTRAL, mark="dashed")
    panels = [
        Panel(
            title="Distance of the twins",
            x_label="step",
            y_label="relative L2 distance of the weights",
            series=over,
            log_y=True,
        ),
        Panel(
            title="Growth beyond rounding",
            x_label="share of the steps, fastest first",
            y_label="share of the growth",
            series=[*shares, by_chance],
        ),
    ]
    mapped = next((twin for twin in left if twin.map_rows), None)
    if mapped is not None:
        heat = Heat(
            values=mapped.map_rows,
            x=mapped.map_steps,
            y=range(len(mapped.map_rows)),
            label="relative L2 difference",
            log=True,
        )
        title = f"Filters of {mapped.map_of}, seed {mapped.seed}"
        panels.append(Panel(title=title, x_label="step", y_label="filter", heat=heat))
    describe = "When twins grow, in how few of the steps, and in which filters of the convolution that grows most"
    return (Drawing(name="restrained", panels=panels, describe=describe),)


def _filter(twin: Grown) -> str:
    whole = sum(max(part.growth, 0.0) for part in twin.filters)
    if not whole > 0:
        return "none"
    top = max(twin.filters, key=lambda part: part.growth)
    return f"{top.name} ({percent(top.growth / whole)})"


def _tables(measured: Restrained) -> Sequence[Table]:
    each = {
        Column("seed", True): lambda twin: count(twin.seed),
        Column("half of the growth in", True): lambda twin: percent(twin.half),
        Column("by chance, 5%", True): lambda twin: percent(twin.half_by_chance),
        Column("filters over even", True): lambda twin: number(spread(twin.filters), 2),
        Column("tensors over even", True): lambda twin: number(spread(twin.tensors), 2),
        Column("filter that grew most"): _filter,
        Column("rise over the last third, decades", True): lambda twin: number(twin.late_rise, 2),
        Column("relative L2 at the end", True): lambda twin: number(twin.distance[-1], 2),
    }
    caption = "Growth beyond what rounding adds up to. Over even: relative to growth in proportion to the weights."
    return (table_of(measured.twins, each, caption=caption),)


def _remarks(measured: Restrained) -> Sequence[str]:
    stayed = len(measured.twins) - len(measured.left)
    found = [f"{plural(stayed, 'twin')} never left what rounding adds up to, and count for nothing."] if stayed else []
    tensors = [spread(twin.tensors) for twin in measured.left]
    if tensors and sum(share is not None and share > _FEW_FILTERS for share in tensors) > len(tensors) / 2:
        found.append(
            "Over whole tensors the growth is spread about as the weights are: nearly all of these lie in one or two "
            "tensors. The localisation is within tensors, over filters."
        )
    return found


CLAIM = Claim[Restrained](
    id="C4",
    title="The instability is restrained: localised over steps and weights, and bounded afterwards",
    printed="the figure of the difference over iterations and over regions of the weights",
    published=Form(
        says="The growth of a last-bit difference is localised over iterations and over regions of the weight tensors, "
        "and the difference stays bounded afterwards.",
        rule="Of the twins that leave what accumulated rounding explains: held if most have half of their growth in "
        "fewer steps than "
        f"{percent(1 - CHANCE)} of divisions of it by chance, most grow in effectively at most half of the filters "
        "that growth in proportion to the weights takes, and most are level over the last third (no rise of more than "
        "0.1 decades that is certain at 99%); not held if most fail one of the three; undecided where a 90% interval "
        "holds one half, or a control failed.",
        judge=judge,
    ),
    scales={
        "small": "a small network on the digits, 6 seeds with one twin each",
        "medium": "ResNet-8 of width 8 on 2,048 images of Fashion-MNIST, 6 seeds with one twin each",
        "full": "ResNet-56 on CIFAR-10, 200 epochs, 6 seeds with one twin each",
    },
    pieces=_pieces,
    gather=_gather,
    drawings=_drawings,
    tables=_tables,
    remarks=_remarks,
)
"""The claim."""
