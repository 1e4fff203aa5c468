"""C9: the last bit's error is amplified in the non-linear flow exactly where it is restrained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lastbit.report.blocks import Column, Table, table_of
from lastbit.report.figures.printed import Drawing, Level, Panel, Series
from lastbit.report.formatting import count, number, plural
from lastbit.studies.paper.claim import Claim, Form, Piece
from lastbit.studies.paper.claims.c09_measure import SHOWN_STEPS, SIZES, TWIN, control, reference, sweep_of
from lastbit.studies.paper.claims.c09_rules import (
    AMPLIFIED,
    RULE_APERIODIC,
    RULE_EXACTLY,
    Twin,
    Twins,
    TwinSweep,
    judge_aperiodic,
    judge_exactly,
)
from lastbit.studies.paper.claims.flows import REFERENCE, REFERENCE_RATES, steps_of
from lastbit.studies.paper.lab import Lab

__all__ = ["CLAIM"]

_DRAWN = (0.03, 0.07, 0.09, 0.11)
"""Learning rates of the reference flow whose differences are drawn."""

_FLOOR = 1e-17
"""Where a difference of zero is drawn."""

_KINDS = ("converged", "periodic", "settling", "aperiodic", "diverged", "undecided")


def _reference(lab: Lab) -> Mapping[str, Any]:
    return lab.map(reference, [None])[0]


def _sweeps(lab: Lab) -> Mapping[str, Any]:
    sizes = SIZES[lab.scale]
    return {"sweeps": lab.map(sweep_of, [(one, sizes.rates) for one in sizes.sweeps])}


def _control(lab: Lab) -> Mapping[str, Any]:
    return lab.map(control, [None])[0]


def _pieces(scale: str) -> Sequence[Piece]:
    sizes = SIZES[scale]
    return (
        Piece(name="control", says="twins whose factor changes no rounding", measure=_control, steps={"flow": 1200}),
        Piece(
            name="reference",
            says="twins of the reference flow at nine learning rates",
            measure=_reference,
            # Of two twins, half of the members settle or blow up early.
            steps={"flow": steps_of(REFERENCE, len(REFERENCE_RATES))},
        ),
        Piece(
            name="sweeps",
            says="twins over learning rates",
            measure=_sweeps,
            steps={"flow": sum(steps_of(one, sizes.rates) for one in sizes.sweeps)},
        ),
    )


def _gather(pieces: Mapping[str, Mapping[str, Any]]) -> Twins:
    def sweep(one: Mapping[str, Any]) -> TwinSweep:
        return TwinSweep(words=one["words"], decay=one["decay"], runs=tuple(Twin(**run) for run in one["runs"]))

    return Twins(
        reference=sweep(pieces["reference"]),
        sweeps=tuple(map(sweep, pieces["sweeps"]["sweeps"])),
        control=pieces["control"]["largest"],
    )


def _drawings(measured: Twins) -> Sequence[Drawing]:
    paths = [
        Series(
            label=f"{number(run.lr)}: {run.kind}",
            x=range(len(run.differences)),
            y=[math.nan if one is None else max(one, _FLOOR) for one in run.differences],
        )
        for run in measured.reference.runs
        if run.lr in _DRAWN
    ]
    first = Panel(
        title=f"Twins k = 1 and {TWIN}, by learning rate",
        x_label="step",
        y_label="mean relative difference",
        series=paths,
        log_y=True,
    )
    return (
        Drawing(
            name="twins",
            panels=(first, *map(_over_rates, _one_each(measured.sweeps))),
            describe="The difference of twins over their steps, and at the end over the learning rate with the kind of "
            "orbit that the flow is on",
            caption=f"The first panel shows {plural(SHOWN_STEPS, 'step')}; zero is drawn at the bottom.",
        ),
    )


def _over_rates(sweep: TwinSweep) -> Panel:
    series = [
        Series(label=kind, x=[run.lr for run in runs], y=[max(run.difference, _FLOOR) for run in runs], mark="points")
        for kind in _KINDS
        if (runs := [run for run in sweep.runs if run.kind == kind])
    ]
    return Panel(
        title=sweep.words.rpartition(",")[0],
        x_label="learning rate",
        y_label="mean relative difference at the end",
        series=series,
        levels=(
            Level(value=AMPLIFIED, label="amplified above"),
            Level(value=2 / sweep.decay, label="2/α", upright=True),
        ),
        log_y=True,
    )


def _one_each(sweeps: Sequence[TwinSweep]) -> Sequence[TwinSweep]:
    """Return the first sweep of each kind of image, two at most."""
    return list({one.words.split()[0]: one for one in reversed(sweeps)}.values())[::-1][:2]


def _tables(measured: Twins) -> Sequence[Table]:
    each = {
        Column("flow"): lambda one: one.words,
        **{Column(kind, True): _amplified_of(kind) for kind in _KINDS},
    }
    return (
        table_of(
            (measured.reference, *measured.sweeps),
            each,
            caption="Learning rates at which the last bit is amplified, of those at which the flow ends so.",
        ),
    )


def _amplified_of(kind: str) -> Callable[[TwinSweep], str]:
    def said(sweep: TwinSweep) -> str:
        runs = [run for run in sweep.runs if run.kind == kind]
        return f"{count(sum(run.amplified is True for run in runs))} of {count(len(runs))}" if runs else ""

    return said


def _remarks(measured: Twins) -> Sequence[str]:
    periodic = measured.of("periodic")
    calm = sum(run.amplified is False for run in periodic)
    said = [
        "Just above the window's lower end the flow is restrained on a periodic orbit, which forgets a perturbation "
        f"as a rest does: on {count(calm)} of {count(len(periodic))} periodic orbits the last bit is not amplified. "
        "Restraint is necessary for amplification, not sufficient."
    ]
    said += [
        f"At 2/α = {number(run.lr)} itself, which is not judged, the reference flow is marginal: it is {run.status}, "
        f"and its twins differ by {number(run.difference, 2)} after {plural(REFERENCE.steps, 'step')}."
        for run in measured.reference.runs
        if math.isclose(run.lr * measured.reference.decay, 2)
    ]
    if any(run.amplified for run in periodic):
        said.append(
            "Twins on a periodic orbit may differ by order one all the same: where its approach was aperiodic, they "
            "can come to it at different phases, or to two orbits that mirror each other."
        )
    return said


CLAIM = Claim[Twins](
    id="C9",
    title="The last bit's error is amplified in the non-linear PDE exactly in the window of restraint",
    printed="the figure of the difference of twins over learning rates",
    published=Form(
        says=f"Twins k = 1 and {TWIN} of the non-linear PDE, which differ in the rounding of their updates alone, "
        "separate exactly at those learning rates at which the flow is restrained.",
        rule=RULE_EXACTLY,
        judge=judge_exactly,
    ),
    found=Form(
        says="Twins separate on aperiodic orbits alone: on a periodic orbit in the window they need not, and outside "
        "the window they do not.",
        rule=RULE_APERIODIC,
        judge=judge_aperiodic,
    ),
    scales={
        "small": "the reference flow, three checkerboards and white noise at some 40 learning rates",
        "medium": "also a second image of white noise, at some 120 learning rates",
        "full": "six starts each of the reference flow and of white noise at some 240 learning rates",
    },
    pieces=_pieces,
    gather=_gather,
    drawings=_drawings,
    tables=_tables,
    remarks=_remarks,
)
"""The claim."""
