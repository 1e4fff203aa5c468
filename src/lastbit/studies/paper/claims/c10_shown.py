"""How C10 is shown: sharpness against its threshold, twins that part, and what stands in the table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from statistics import median

from lastbit.report.blocks import Column, Table, table_of
from lastbit.report.figures.printed import Drawing, Level, Panel, Series
from lastbit.report.figures.style import NEUTRAL
from lastbit.report.formatting import count, decades, distance, number, percent, show
from lastbit.studies.paper.claims.c10_measure import Course, Edges, Training, grouped, over_seeds

__all__ = ["drawings", "remarks", "tables"]

ACCUMULATED = 2.0
"""Powers of ten that a difference can rise by sums of rounding alone in some thousand steps."""


def drawings(measured: Edges) -> Sequence[Drawing]:
    """Return one figure: the course of one seed, and the growth of all."""
    full = [one for one in measured.courses if not one.batch]
    panels = [_sharpness(list(group)) for _, group in groupby(full, attrgetter("network"))]
    panels.append(_twins(measured.courses))
    if mini := [one for one in measured.courses if one.batch]:
        panels.append(_batch_sharpness(mini))
    panels.append(_shares(measured.trainings))
    return (
        Drawing(
            name="edge",
            panels=panels,
            describe="Sharpness over the steps with its threshold 2/lr, by network; the distance of twins; batch "
            "sharpness over its threshold; the share of growth above the threshold against that of the steps",
            caption="The first seed of each rate; in the last panel every training. Growth that ignored the threshold "
            "would lie on the line.",
        ),
    )


def tables(measured: Edges) -> Sequence[Table]:
    """Return one row for each network, batch and rate, over its seeds."""

    def settled(group: Sequence[Training], batch: bool) -> str:
        ends = [one.batch_tail if batch else one.tail for one in group]
        return str(show(over_seeds(group, [end.estimate if end else None for end in ends]), digits=3))

    def middle(group: Sequence[Training], name: str) -> float | None:
        known = [value for one in group if (value := getattr(one, name)) is not None]
        return median(known) if known else None

    def growth(group: Sequence[Training]) -> float | None:
        known = [one.growth.estimate for one in group if one.growth.estimate is not None]
        return median(known) if known else None

    def entered(group: Sequence[Training]) -> str:
        reached = [one for one in group if one.entered is not None]
        at = f", step {count(middle(group, 'entered'))}" if reached else ""
        return f"{len(reached)} of {len(group)}{at}"

    each = {
        Column("training"): lambda group: group[0].named,
        Column("threshold", True): lambda group: number(middle(group, "threshold")),
        Column("at first / threshold", True): lambda group: number(middle(group, "first"), 3),
        Column("reached"): entered,
        Column("sharpness / threshold, last third", True): lambda group: settled(group, False),
        Column("batch sharpness / threshold", True): lambda group: settled(group, True) if group[0].batch else "",
        Column("steps above", True): lambda group: percent(middle(group, "above")),
        Column("growth there", True): lambda group: percent(growth(group)),
        Column("decades grown", True): lambda group: decades(middle(group, "decades")),
        Column("twins apart at the end", True): lambda group: distance(middle(group, "apart")),
    }
    caption = "Means with 95% intervals over the seeds, else medians. Apart: mean relative difference of the weights."
    return (table_of(grouped(measured.trainings), each, caption=caption),)


def remarks(measured: Edges) -> Sequence[str]:
    """Return what a reader should know besides."""
    said = []
    silent = [one for one in measured.trainings if not one.batch and one.localised is None]
    if silent:
        named = ", ".join(sorted({one.named for one in silent}))
        said.append(
            "Where the threshold is exceeded in nearly all or hardly any of the steps, growth has nothing to be "
            f"compared with; such trainings ({named}) count for the level alone."
        )
    mini = [one for one in measured.trainings if one.batch and one.decades is not None]
    if mini:
        most = max(one.decades or 0.0 for one in mini)
        within = f"With mini-batches the twins' difference rises by {decades(most)} powers of ten at most"
        said.append(
            f"{within}: what rounding accumulates by itself, and no instability."
            if most < ACCUMULATED
            else f"{within}, although batch sharpness stays below its threshold on average; single batches can be "
            "sharper, which is the likeliest reason and not tested here."
        )
    return said


def _sharpness(courses: Sequence[Course]) -> Panel:
    series = [
        Series(label=f"rate {number(one.lr)}", x=one.steps, y=[_nan(value) for value in one.sharpness])
        for one in courses
    ]
    levels = [Level(value=one.threshold, label=f"2/{number(one.lr)}") for one in courses if one.threshold is not None]
    title = f"{courses[0].network}, full batch"
    return Panel(title=title, x_label="step", y_label="sharpness", series=series, levels=levels)


def _twins(courses: Sequence[Course]) -> Panel:
    series = [
        Series(
            label=f"batches of {one.batch}" if one.batch else f"{one.network}, {number(one.lr)}",
            x=one.steps,
            # What is not apart yet has no place on a logarithmic axis.
            y=[value or float("nan") for value in one.distance],
        )
        for one in courses
    ]
    return Panel(
        title="Twins that differ in the last bit",
        x_label="step",
        y_label="distance / norm of the weights",
        series=series,
        log_y=True,
    )


def _batch_sharpness(courses: Sequence[Course]) -> Panel:
    series = [
        Series(
            label=f"batches of {one.batch}",
            x=one.batch_steps,
            y=[_nan(value) / one.threshold for value in one.batch_sharpness],
            mark="both",
        )
        for one in courses
        if one.threshold
    ]
    return Panel(
        title=f"{courses[0].network}, mini-batches",
        x_label="step",
        y_label="batch sharpness / threshold",
        series=series,
        levels=(Level(value=1.0, label="threshold"),),
    )


def _shares(trainings: Sequence[Training]) -> Panel:
    series = [
        Series(
            label=group[0].named,
            x=[_nan(one.above) for one in group],
            y=[_nan(one.growth.estimate) for one in group],
            mark="points",
        )
        for group in grouped(trainings)
    ]
    line = Series(label="ignoring the threshold", x=(0.0, 1.0), y=(0.0, 1.0), mark="dashed", colour=NEUTRAL)
    return Panel(
        title="Where the twins' difference grows",
        x_label="share of steps above the threshold",
        y_label="share of growth there",
        series=(*series, line),
    )


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
