"""C12: the stable learning rate falls as the network grows, in depth, width and kernel size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lastbit.report.blocks import Column, Table, table_of
from lastbit.report.figures.printed import Drawing, Panel, Series
from lastbit.report.formatting import number, plural, show
from lastbit.stats import Estimate
from lastbit.studies.paper.claim import Claim, Form, Judged, Number, held, not_held, undecided
from lastbit.studies.paper.claims.c12_measure import AXES, INITS, Trend, Trends, gathered, pieces_of

__all__ = ["CLAIM", "falls", "judge", "judge_kept"]

FEWEST = 3
"""Seeds, and sizes, of a trend."""

FLAT = -0.1
"""An exponent that is certainly above is no fall: less than 7% at each doubling."""

_BY = {"theory": "linearised", "training": "trained"}
_INITS = {"usual": "PyTorch's weights", "kept": "weights that keep signals"}
_WHEN = {"start": "at the start", "lowest": "lowest along the training"}


def judge(measured: Trends) -> Judged:
    """Judge both initialisations: see `CLAIM`."""
    return _judged(measured, INITS)


def judge_kept(measured: Trends) -> Judged:
    """Judge the initialisation that keeps the signals' size: see `CLAIM`."""
    return _judged(measured, ("kept",))


def falls(exponent: Estimate) -> bool | None:
    """Tell whether a rate falls with an exponent; None where its interval holds both a fall and none."""
    if exponent.estimate is None:
        return None
    low, high = (exponent.estimate if end is None else end for end in (exponent.low, exponent.high))
    return True if high < 0 else False if low > FLAT else None


def _judged(measured: Trends, inits: Sequence[str]) -> Judged:
    trends = [one for one in measured.trends if one.init in inits]
    wanted = {(by, init, axis) for by in _BY for init in inits for axis in AXES}
    missing = wanted - {(one.by, one.init, one.axis) for one in trends}
    thin = [one for one in trends if one.exponent.n < FEWEST or len(one.sizes) < FEWEST]
    told = [one for one in trends if one not in thin]
    if steady := [one for one in told if falls(one.exponent) is False]:
        first = _least(steady)
        also = f", nor does it in {plural(len(steady) - 1, 'other trend')}" if len(steady) > 1 else ""
        said = f"{_named(first)}: the stable rate does not fall, it goes as {first.axis}^{show(first.exponent)}{also}"
        return not_held(said, *_numbers(trends, first))
    if missing or thin:
        few = f"{plural(len(thin), 'trend')} with fewer than {plural(FEWEST, 'seed')} or {plural(FEWEST, 'size')}"
        said = few if thin else f"not measured: {plural(len(missing), 'trend')}"
        return undecided(said, *_numbers(trends, *thin[:1]))
    if unclear := [one for one in told if falls(one.exponent) is None]:
        first = _least(unclear)
        said = f"{_named(first)}: whether the stable rate falls cannot be told, {first.axis}^{show(first.exponent)}"
        return undecided(said, *_numbers(trends, first))
    first = _least(told)
    said = f"the stable rate falls in all {plural(len(told), 'trend')}, the least with {_named(first)}"
    return held(f"{said}: as {first.axis}^{show(first.exponent)}", *_numbers(trends, first))


def _least(trends: Sequence[Trend]) -> Trend:
    """Return the trend that is farthest from a fall."""
    return max(trends, key=lambda one: one.exponent.estimate or 0.0)


def _numbers(trends: Sequence[Trend], *first: Trend) -> list[Number]:
    """Return the exponents, the deciding one first."""
    return [
        Number(name="exponent", says=f"of the stable rate over {one.axis}: {_named(one)}", value=one.exponent)
        for one in (*first, *(other for other in trends if other not in first))
    ]


def _named(one: Trend) -> str:
    batch = f", batches of {one.batch}" if one.batch else ""
    when = f", {_WHEN[one.when]}" if one.by == "training" else ""
    return f"{one.axis}, {one.network} {_BY[one.by]}{batch}, {_INITS[one.init]}{when}"


def _drawings(measured: Trends) -> Sequence[Drawing]:
    panels = [_panel(measured, by, axis) for by in _BY for axis in AXES]
    return (
        Drawing(
            name="complexity",
            panels=panels,
            describe="The largest stable learning rate over depth, width and kernel size: above by theory, below along "
            "trainings, with weights as PyTorch draws them and with weights that keep the signals' size",
            caption="Geometric means over the seeds. Above at the initial weights; below the lowest along a training.",
        ),
    )


def _panel(measured: Trends, by: str, axis: str) -> Panel:
    """Return one axis: of trainings the lowest rate."""
    when = "start" if by == "theory" else "lowest"
    shown = [one for one in measured.trends if (one.by, one.axis, one.when) == (by, axis, when) and one.rates]
    series = [
        Series(
            label=f"{one.network}{f', batches of {one.batch}' if one.batch else ''}: {one.init}",
            x=one.sizes,
            y=one.rates,
            # Batches mostly lie on the line of the full batch.
            mark="points" if one.batch else "line" if by == "training" else "both",
        )
        for one in shown
    ]
    title = f"{axis.capitalize()}, {'by theory' if by == 'theory' else 'along trainings'}"
    return Panel(title=title, x_label=axis, y_label="stable learning rate", series=series, log_y=True)


def _tables(measured: Trends) -> Sequence[Table]:
    words = {True: "falls", False: "does not fall", None: "cannot be told"}
    each = {
        Column("grows"): lambda one: one.axis,
        Column("network"): lambda one: f"{one.network}{f', batches of {one.batch}' if one.batch else ''}",
        Column("weights"): lambda one: one.init,
        Column("stable rate"): lambda one: "by theory" if one.by == "theory" else _WHEN[one.when],
        Column("sizes"): lambda one: ", ".join(map(str, one.sizes)),
        Column("rates", True): lambda one: ", ".join(number(rate, 2) for rate in one.rates),
        Column("exponent", True): lambda one: show(one.exponent).value,
        Column("95% interval", True): lambda one: show(one.exponent).interval,
        Column("seeds", True): lambda one: show(one.exponent).n,
        Column("trend"): lambda one: words[falls(one.exponent)],
    }
    caption = (
        "Weights: usual, PyTorch's variance of 1/(3 fan-in); kept, the variance at which signals keep their size. "
        "Rates are geometric means over the seeds."
    )
    return (table_of(measured.trends, each, caption=caption),)


def _remarks(measured: Trends) -> Sequence[str]:
    steady = [one for one in measured.trends if falls(one.exponent) is False]
    said = [_without_smallest(one) for one in steady if one.init == "kept" and one.rates]
    of_kept = [one for one in measured.trends if one.init == "kept"]
    kept = {axis: [falls(one.exponent) for one in of_kept if one.axis == axis] for axis in AXES}
    if axes := [axis for axis in AXES if all(kept[axis]) and any(one.axis == axis for one in steady)]:
        said.append(
            f"With {' and '.join(axes)} the rate fails to fall with PyTorch's weights alone. These have a variance of "
            "1/(3 fan-in), with which signals and gradients shrink from layer to layer, and with them the curvature: "
            "the trend is then the initialisation's."
        )
    return said


def _without_smallest(one: Trend) -> str:
    """Return what a trend that does not fall does from its second size on."""
    slope = float(np.polyfit(np.log(one.sizes[1:]), np.log(one.rates[1:]), 1)[0])
    sizes = f"{one.axis} {one.sizes[1]} to {one.sizes[-1]}"
    return f"{_named(one)}: over {sizes} alone, means over the seeds go as {one.axis}^{number(slope, 2)}."


CLAIM = Claim[Trends](
    id="C12",
    title="The stable learning rate falls as the network grows",
    printed="the account of network complexity",
    published=Form(
        says="The stable learning rate falls as the network grows in depth, width and kernel size.",
        rule="Trends are exponents of power laws over the sizes, with 95% intervals over the seeds: by theory (swish "
        "and linear convolutions linearised at their initial weights) and along trainings (at the start and the "
        "lowest, full batch and mini-batches), with PyTorch's weights and with weights that keep the signals' size. "
        "Held if every interval lies below 0; not held if one lies above -0.1 and not below 0; undecided if one holds "
        "both, or if a trend is missing or has fewer than three seeds or sizes.",
        judge=judge,
    ),
    found=Form(
        says="With an initialisation that keeps the signals' size, the stable learning rate falls as the network "
        "grows.",
        rule="Held if every interval of the trends with weights that keep the signals' size lies below 0; not held if "
        "one lies above -0.1 and not below 0; undecided as the published form.",
        judge=judge_kept,
    ),
    scales={
        "small": "theory: depth 1 to 4, width 2 to 8, kernel 1 to 5, 12 seeds; digits: depth 1 to 8, width 16 to 128, "
        "kernel 1 to 7, ten seeds, full batch and batches of 32",
        "medium": "theory: depth to 6, width to 16, kernel to 7, 24 seeds; Fashion-MNIST with six seeds",
        "full": "theory: depth to 8, width to 32, 48 seeds; 5,000 images of CIFAR-10, depth to 16, six seeds",
    },
    pieces=pieces_of,
    gather=gathered,
    drawings=_drawings,
    tables=_tables,
    remarks=_remarks,
)
"""The claim."""
