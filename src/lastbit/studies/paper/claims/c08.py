"""C8: outside the linear bounds the non-linear flow does not blow up, its instability is restrained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lastbit.report.blocks import Column, Columns, Table, table_of
from lastbit.report.figures.printed import Drawing, Level, Panel, Series
from lastbit.report.figures.style import REAL
from lastbit.report.formatting import change, count, number, within
from lastbit.studies.paper.claim import Claim, Form, Piece
from lastbit.studies.paper.claims.c08_measure import SIZES, ends_of, reference, sweep_of, window_steps
from lastbit.studies.paper.claims.c08_rules import ORDER, RULE, End, Restrained, Run, Sweep, judge_ends, judge_order
from lastbit.studies.paper.claims.flows import REFERENCE, REFERENCE_RATES, steps_of
from lastbit.studies.paper.lab import Lab
from lastbit.studies.paper.rules import Bracket

__all__ = ["CLAIM"]

_DRAWN, _TOP = (0.01, 0.03, 0.07, 0.09, 0.11), 1e9
"""Learning rates whose losses are drawn, and the largest loss that is."""


def _reference(lab: Lab) -> Mapping[str, Any]:
    return lab.map(reference, [None])[0]


def _sweeps(lab: Lab) -> Mapping[str, Any]:
    sizes = SIZES[lab.scale]
    return {"sweeps": lab.map(sweep_of, [(one, sizes.rates) for one in sizes.sweeps])}


def _ends(lab: Lab) -> Mapping[str, Any]:
    return {"ends": [end for ends in lab.map(ends_of, SIZES[lab.scale].ends) for end in ends]}


def _pieces(scale: str) -> Sequence[Piece]:
    sizes = SIZES[scale]
    return (
        Piece(
            name="reference",
            says="the reference flow at nine learning rates",
            measure=_reference,
            # Half of the members settle or blow up early.
            steps={"flow": steps_of(REFERENCE, len(REFERENCE_RATES)) / 2},
        ),
        Piece(
            name="sweeps",
            says="flows over learning rates",
            measure=_sweeps,
            steps={"flow": sum(steps_of(one, sizes.rates) for one in sizes.sweeps)},
        ),
        Piece(
            name="ends",
            says="bisections of both ends of the window",
            measure=_ends,
            steps={"flow": sum(map(window_steps, sizes.ends))},
        ),
    )


def _gather(pieces: Mapping[str, Mapping[str, Any]]) -> Restrained:
    def sweep(one: Mapping[str, Any]) -> Sweep:
        return Sweep(words=one["words"], decay=one["decay"], runs=tuple(Run(**run) for run in one["runs"]))

    return Restrained(
        reference=sweep(pieces["reference"]),
        sweeps=tuple(map(sweep, pieces["sweeps"]["sweeps"])),
        ends=tuple(_end(**one) for one in pieces["ends"]["ends"]),
    )


def _end(kind: str, what: str, foretold: float | None, bracket: Sequence[float] | None) -> End:
    if foretold is None or bracket is None:
        return End(kind=kind, what=what, bracket=None)
    return End(kind=kind, what=what, bracket=Bracket(what=what, foretold=foretold, low=bracket[0], high=bracket[1]))


def _drawings(measured: Restrained) -> Sequence[Drawing]:
    shown = [run for run in measured.reference.runs if run.lr in _DRAWN]
    losses = [
        Series(
            label=f"{number(run.lr)}: {run.status}",
            x=range(len(run.losses)),
            y=[math.nan if loss is None or loss > _TOP else loss for loss in run.losses],
        )
        for run in shown
    ]
    return (
        Drawing(
            name="restrained",
            panels=(
                Panel(
                    title="Loss, by learning rate",
                    x_label="step",
                    y_label="loss with its weight decay term",
                    series=losses,
                    log_y=True,
                ),
                *(_over_rates(sweep) for sweep in _one_each(measured.sweeps)),
            ),
            describe="The loss over the steps below, in and above the window, and the range of the loss in the second "
            "half of a run over the learning rate",
        ),
    )


def _over_rates(sweep: Sweep) -> Panel:
    ran = [run for run in sweep.runs if run.largest is not None]
    series = [
        Series(
            label=f"{status}: its range",
            x=[run.lr for run in ran if run.status == status],
            y=[run.end or 0.0 for run in ran if run.status == status],
            low=[run.least or 0.0 for run in ran if run.status == status],
            high=[run.largest or 0.0 for run in ran if run.status == status],
            mark="points",
        )
        for status in ("converged", "restrained")
    ]
    blown = [run.lr for run in sweep.runs if run.status == "diverged"]
    levels = [Level(value=2 / sweep.decay, label="2/α", upright=True)]
    if blown:
        levels.append(Level(value=blown[0], label="blows up from here on", upright=True, colour=REAL))
    return Panel(
        title=sweep.words.rpartition(",")[0],
        x_label="learning rate",
        y_label="loss, second half of the run",
        series=series,
        levels=levels,
        log_y=True,
    )


def _one_each(sweeps: Sequence[Sweep]) -> Sequence[Sweep]:
    """Return the first sweep of each kind of image, two at most."""
    return list({one.words.split()[0]: one for one in reversed(sweeps)}.values())[::-1][:2]


def _tables(measured: Restrained) -> Sequence[Table]:
    found = [(one.what, one.bracket) for one in measured.ends if one.bracket is not None]
    ends: Columns[tuple[str, Bracket]] = {
        Column("end of the window"): lambda one: one[0],
        Column("predicted", True): lambda one: number(one[1].foretold, 5),
        Column("simulated", True): lambda one: within(one[1].low, one[1].high, 5),
        Column("deviation", True): lambda one: change(1 + sum(one[1].ends) / 2, 1.0),
    }
    flows = {
        Column("flow"): lambda one: one.words,
        **{Column(status, True): _told(status) for status in (*ORDER, "undecided")},
    }
    return (
        table_of((measured.reference, *measured.sweeps), flows, caption="Learning rates, by how the flow ended."),
        table_of(found, ends, caption="Where every direction is seen, 2/α is a guarantee and not the end."),
    )


def _told(status: str) -> Callable[[Sweep], str]:
    return lambda sweep: count(len(sweep.of(status)))


def _remarks(measured: Restrained) -> Sequence[str]:
    at = {run.lr: run.status for run in measured.reference.runs}
    ended = ", ".join(f"{number(lr)} {status}" for lr, status in at.items())
    return (
        f"The reference flow by learning rate: {ended}. By an independent computation it converges at 0.01 and 0.03, "
        "is restrained at 0.05, 0.07 and 0.09, is marginal at 2/α = 0.1, and blows up at 0.101 and above.",
        "The data gradient is bounded wherever the kernel goes, so for a learning rate below 2/α weight decay holds "
        "the flow within a bound, however unstable its rest is. A window needs a rest that is sharper than weight "
        "decay alone: where the data loss is concave at rest, rest is left for a blow-up at once.",
    )


CLAIM = Claim[Restrained](
    id="C8",
    title="Outside the bounds the non-linear PDE does not blow up: the instability is restrained",
    printed="the figure of the loss over learning rates",
    published=Form(
        says="The non-linear PDE of a one-layer CNN converges at small learning rates, stays bounded and oscillates in "
        "a window of larger ones, and blows up above.",
        rule=RULE,
        judge=judge_order,
    ),
    found=Form(
        says="The window ends below at 2/(λ_max + α), λ_max the sharpness of the data loss at rest, and above at 2/α; "
        "where the image's patches span the window, 2/α is a guarantee and the end may lie beyond.",
        rule="Held if all simulated ends lie within 1% of the predicted ones, and no flow blows up more than 1% below "
        "2/α; not held if the whole bracket of one lies outside; undecided if a bracket is too wide, or fewer than two "
        "windows were found whole.",
        judge=judge_ends,
    ),
    scales={
        "small": "the reference flow, three checkerboards and white noise at some 30 learning rates",
        "medium": "also a second image of white noise, at some 90 learning rates, and the ends of the reference flow",
        "full": "six starts each of the reference flow and of white noise at some 180 learning rates",
    },
    pieces=_pieces,
    gather=_gather,
    drawings=_drawings,
    tables=_tables,
    remarks=_remarks,
)
"""The claim."""
