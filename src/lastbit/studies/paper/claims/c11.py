"""C11: weight decay moves the edge of the data loss to `2/lr - decay`, and too little of it leaves growing modes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lastbit.report.blocks import Column, Table, table_of
from lastbit.report.figures.printed import Drawing, Level, Panel, Series
from lastbit.report.formatting import number, show, span
from lastbit.studies.paper.claim import Claim, Form
from lastbit.studies.paper.claims.c11_measure import TRAININGS, Edge, edge_of, pieces
from lastbit.studies.paper.claims.c11_rules import (
    FALLS,
    STANDS,
    Decayed,
    Window,
    judge_found,
    judge_published,
    most_decayed,
)
from lastbit.studies.paper.rules import Bracket

__all__ = ["CLAIM"]


def _gather(measured: Mapping[str, Mapping[str, Any]]) -> Decayed:
    def ends(one: Mapping[str, Any], name: str) -> tuple[float, float] | None:
        return None if one[name] is None else (float(one[name][0]), float(one[name][1]))

    windows = measured["windows"]["windows"]
    return Decayed(
        windows=tuple(Window(**{**one, "low": ends(one, "low"), "high": ends(one, "high")}) for one in windows),
        growing=tuple(Bracket(**one) for one in measured["growing"]["growing"]),
        edges=tuple(edge_of(edge) for name in TRAININGS for edge in measured[name]["edges"]),
    )


def _course(edges: Iterable[Edge], of: Callable[[Edge, float], float], label: str) -> list[Series]:
    return [
        Series(
            label=f"{label}{'' if not label else ', '}decay {number(edge.decay)}",
            x=edge.steps,
            y=[float("nan") if value is None else of(edge, value) for value in edge.course],
        )
        for edge in edges
    ]


def _drawings(measured: Decayed) -> Sequence[Drawing]:
    shifts = [one.shift for one in measured.windows if one.shift is not None]
    shifts.sort(key=lambda one: one.foretold)
    steep = [edge for edge in measured.edges if edge.training in STANDS]
    fallen = [(name, most_decayed(measured, name)) for name in (*FALLS, "batches")]
    limits = {edge.limit: f"2/lr - {number(edge.decay)}" if edge.decay else "2/lr" for edge in steep}
    return (
        Drawing(
            name="decay",
            panels=(
                Panel(
                    title="One-layer CNN",
                    x_label="weight decay α",
                    y_label="simulated 2/lr - sharpness at rest",
                    series=(
                        Series(
                            label="simulated",
                            x=[one.foretold for one in shifts],
                            y=[(one.low + one.high) / 2 for one in shifts],
                            low=[one.low for one in shifts],
                            high=[one.high for one in shifts],
                            mark="points",
                        ),
                        Series(
                            label="α",
                            x=[one.foretold for one in shifts],
                            y=[one.foretold for one in shifts],
                            mark="dashed",
                        ),
                    ),
                    log_x=True,
                    log_y=True,
                ),
                Panel(
                    title="A loss that stands up to decay",
                    x_label="step",
                    y_label="sharpness of the data loss",
                    series=_course(steep, lambda edge, value: value, ""),
                    levels=[Level(value=value, label=label) for value, label in limits.items()],
                ),
                Panel(
                    title="Others",
                    x_label="step",
                    y_label="sharpness over 2/lr - α",
                    series=[
                        line
                        for name, edge in fallen
                        if edge is not None
                        for line in _course([edge], lambda edge, value: value / edge.limit, name)
                    ],
                    levels=(Level(value=1.0, label=""),),
                ),
            ),
            describe="The simulated edge of the one-layer CNN over weight decays, and the sharpness of trained "
            "networks beside their limits",
        ),
    )


def _tables(measured: Decayed) -> Sequence[Table]:
    windows = {
        Column("flow"): lambda one: one.what,
        Column("sharpness at rest", True): lambda one: number(one.sharpness),
        Column("converges up to", True): lambda one: span(*one.low) if one.low else "not known",
        Column("2/(sharpness + α)", True): lambda one: number(one.theory_low),
        Column("blows up from", True): lambda one: span(*one.high) if one.high else "not known",
        Column("2/α", True): lambda one: number(one.theory_high),
    }
    growing = {
        Column("linear flow"): lambda one: one.what,
        Column("-λ_min", True): lambda one: number(one.foretold),
        Column("modes grow below", True): lambda one: span(one.low, one.high),
    }
    edges = {
        Column("training"): lambda one: TRAININGS[one.training][0],
        Column("α", True): lambda one: number(one.decay),
        Column("2/lr - α", True): lambda one: number(one.limit),
        Column("sharpness, last third", True): lambda one: show(one.sharpness, digits=4).value,
        Column("95%", True): lambda one: show(one.sharpness, digits=4).interval,
        Column("lr / largest stable", True): lambda one: show(one.ratio, digits=3).value,
        Column("95% ", True): lambda one: show(one.ratio, digits=3).interval,
    }
    return (
        table_of(measured.windows, windows, caption="Learning rates at which the flow of the one-layer CNN turns."),
        table_of(measured.growing, growing, caption="The least weight decay without a growing mode."),
        table_of(measured.edges, edges, caption="Trained networks; the limit is on the sharpness of the data loss."),
    )


CLAIM = Claim[Decayed](
    id="C11",
    title="Weight decay α moves the edge of the data loss to 2/lr - α, and too little leaves growing modes",
    printed="the account of weight decay at the edge of stability",
    published=Form(
        says="Weight decay α moves the edge to 2/lr - α for the data loss, below which trainings sharpen; modes grow "
        "where α is below the negative of the smallest eigenvalue; and the flow blows up at 2/α.",
        rule="Held if the simulated edge of the one-layer CNN lies α above the sharpness at rest within 5% of α, the "
        "decay below which a mode grows and the blow-up at 2/α within 1%, and every training with the largest decay, "
        "full batch or not, ends within 10% of 2/lr - α with its whole interval. Not held if one interval lies wholly "
        "outside; otherwise undecided.",
        judge=judge_published,
    ),
    found=Form(
        says="The same for flows, and for full-batch training on losses that stand up to decay; others leave the "
        "edge. 2/α is a bound, met where the window has directions that no patch shows.",
        rule="Held if edge and growing modes of the one-layer CNN are as published; the steep loss with decay ends "
        "within 10% of 2/lr - α, its sharpness below 2/lr and below that without decay with the whole interval; the "
        "other losses by full batches end wholly outside of 10%; and 2/α is the end within 1% on the checkerboard, "
        "and on noise no end lies more than 1% before it and one more than 1% beyond. Not held if one of these is "
        "not so for certain (the sharpness did not move where its difference from that without decay lies wholly "
        "below α/2); otherwise undecided.",
        judge=judge_found,
    ),
    scales={
        "small": "24 by 24 images, 3 decays; 3 losses on 600 digits, α = 0 and 1; full batch and batches of 150",
        "medium": "64 by 64 images, four decays; the same networks, α = 0, 0.1 and 1, measured every 11 steps",
        "full": "256 by 256 images and a 32 by 32 window; the same networks, α = 0, 0.01, 0.1 and 1",
    },
    pieces=pieces,
    gather=_gather,
    drawings=_drawings,
    tables=_tables,
    remarks=lambda measured: (
        "A decay of α removes lr times α of every weight in each step, twice the relative shift lr times α/2 of the "
        "limit: on a loss that does not hold its weights up they collapse, and nothing is left to sharpen.",
        "Batches of a quarter of the examples are at the same edge as all of them; much smaller ones hold the "
        "sharpness of the whole loss below it, with decay and without (docs/edge-of-stability.md).",
    ),
)
"""The claim."""
