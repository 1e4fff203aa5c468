"""C2: the spread of test accuracies over last bits is comparable to that over the order of the batches."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lastbit.report.blocks import Column, Row, Table, columns, table_of
from lastbit.report.figures.printed import Drawing, Level, Panel, Series
from lastbit.report.figures.style import LAST_BIT, SEED
from lastbit.report.formatting import distance, number, percent, plural, show
from lastbit.stats import Estimate
from lastbit.studies.paper.claim import Claim, Form, Judged, Number, held, not_held, undecided
from lastbit.studies.paper.claims.c02_measure import CALM, RESTLESS, ROWS, Grid, grid_of, pieces

__all__ = ["CLAIM", "Spreads", "judge_found", "judge_published"]

_COMPARABLE = 0.1
"""Share of the variance from which the last bit's spread is of the order of that over seeds: within half a decade."""

_ELSEWHERE = (
    ("one bit of one weight", 0.21, 0.014, 10.6),
    ("initialisation", 0.22, 0.02, 10.7),
    ("shuffling", 0.25, 0.02, 10.7),
    ("all sources", 0.26, 0.02, 10.7),
)
"""SD of the test accuracy in points, its standard error, and disagreement in percent, each of 100 runs."""

_ELSEWHERE_SOURCE = "replication of Summers and Dinneen (ReScience, MLRC 2021): ResNet-14, CIFAR-10, 500 epochs"

_REFERENCES: Mapping[tuple[str, str], tuple[float, str]] = {
    ("small", RESTLESS): (0.70, "computed independently, of 20 epochs: 6 orders by k = 1, 3, 5, 7"),
    ("small", CALM): (0.005, "computed independently, of 20 epochs: 6 orders by k = 1, 3, 5, 7"),
    ("full", "momentum"): ((0.21 / 0.25) ** 2, f"one bit against shuffling, {_ELSEWHERE_SOURCE}"),
}
"""Shares that are known, by scale and row."""


@dataclass(frozen=True, kw_only=True)
class Spreads:
    """What was measured.

    Attributes:
        grids: of each row, in the order of `ROWS`.
    """

    grids: Sequence[Grid]


def _comparable(share: Estimate) -> bool | None:
    """Return whether a share lies above the bound for certain, or below it; None where that cannot be told."""
    if share.estimate is None or share.low is None:
        return None
    if share.high is None:
        # Perturbations that changed no accuracy at all have no interval, and are as clear an answer as there is.
        return False if share.estimate == 0 else None
    return True if share.low > _COMPARABLE else False if share.high < _COMPARABLE else None


def _numbers(measured: Spreads, first: Sequence[Grid] = ()) -> list[Number]:
    """Return the share of every row, those that decide first."""
    found = []
    for grid in [*first, *(grid for grid in measured.grids if grid not in first)]:
        reference, source = _REFERENCES.get((grid.scale, grid.name), (None, ""))
        says = f"share of the last bit in the variance of test accuracies, {ROWS[grid.name]}"
        found.append(Number(name=f"share_{grid.name}", says=says, value=grid.share, reference=reference, source=source))
    return found


def _said(grid: Grid) -> str:
    return f"{ROWS[grid.name]} {show(grid.share, '%')}"


def judge_published(measured: Spreads) -> Judged:
    """Hold the claim where most rows are comparable for certain, and none is not."""
    sides = {grid.name: _comparable(grid.share) for grid in measured.grids}
    below = [grid for grid in measured.grids if sides[grid.name] is False]
    above = [grid for grid in measured.grids if sides[grid.name] is True]
    tally = f"the last bit's share is above a tenth in {len(above)} of {plural(len(ROWS), 'row')}"
    if below:
        named = "; ".join(map(_said, below))
        return not_held(f"the last bit's share is below a tenth in: {named}; {tally}", *_numbers(measured, below))
    lacking = [words for name, words in ROWS.items() if name not in sides]
    if lacking:
        return undecided(f"not every row was measured: {', '.join(lacking)}", *_numbers(measured))
    if 2 * len(above) > len(ROWS):
        return held(f"{tally}, and below it in none", *_numbers(measured, above))
    return undecided(f"{tally}, and the other intervals reach to both sides of it", *_numbers(measured))


def judge_found(measured: Spreads) -> Judged:
    """Hold the claim where the share is above a tenth with large steps, and below it with small ones."""
    grids = {grid.name: grid for grid in measured.grids if grid.name in (RESTLESS, CALM)}
    if len(grids) < 2:
        return undecided("one of the two trainings was not measured", *_numbers(measured))
    restless, calm = grids[RESTLESS], grids[CALM]
    sides = _comparable(restless.share), _comparable(calm.share)
    numbers = _numbers(measured, [restless, calm])[:2]
    said = f"{_said(restless)}; {_said(calm)}"
    if sides == (True, False):
        return held(f"above a tenth with large steps and below it with small ones: {said}", *numbers)
    if sides[0] is False or sides[1] is True:
        return not_held(f"the share does not part where the step does: {said}", *numbers)
    return undecided(f"an interval reaches to both sides of a tenth: {said}", *numbers)


def _gather(measured: Mapping[str, Mapping[str, Any]]) -> Spreads:
    return Spreads(grids=[grid_of(measured[name]) for name in ROWS])


def _points(
    label: str, colour: str, grids: Sequence[Grid], of: Callable[[Grid], Estimate], beside: float = 0.0
) -> Series:
    """Return what was estimated of each row, over its place in the table."""
    found = [(place + beside, of(grid)) for place, grid in enumerate(grids, 1)]
    known = [(place, one.estimate, one.low, one.high) for place, one in found if one.estimate is not None]
    return Series(
        label=label,
        x=[place for place, *_ in known],
        y=[value for _, value, _, _ in known],
        low=[value if low is None else low for _, value, low, _ in known],
        high=[value if high is None else high for _, value, _, high in known],
        mark="points",
        colour=colour,
    )


def _drawings(measured: Spreads) -> Sequence[Drawing]:
    grids = measured.grids
    return (
        Drawing(
            name="spreads",
            panels=(
                Panel(
                    title="Spread of the test accuracy",
                    x_label="row of the table",
                    y_label="SD, points",
                    series=(
                        _points("over last bits", LAST_BIT, grids, lambda grid: grid.last_bit),
                        _points("over seeds, last bit included", SEED, grids, lambda grid: grid.total, beside=0.15),
                    ),
                ),
                Panel(
                    title="The last bit's share",
                    x_label="row of the table",
                    y_label="share of the variance",
                    series=(_points("", LAST_BIT, grids, lambda grid: grid.share),),
                    levels=(Level(value=_COMPARABLE, label="comparable from here on"),),
                ),
            ),
            describe="Standard deviations of the test accuracy over last bits and over seeds, and the last bit's "
            "share of the variance, for each row of the table",
            caption="95% intervals. Rows: "
            + ", ".join(f"{place} {ROWS[grid.name]}" for place, grid in enumerate(grids, 1))
            + ".",
        ),
    )


def _summary(measured: Spreads) -> Table:
    def cells(grid: Grid) -> list[str]:
        spreads = [show(one) for one in (grid.last_bit, grid.seeds)]
        share = show(grid.share, "%")
        return [
            ROWS[grid.name],
            number(grid.mean.estimate, unit="%"),
            *(text for one in spreads for text in (one.value, one.interval)),
            share.value,
            share.interval,
            distance(grid.distance.estimate),
            percent(grid.churn_last_bit.estimate),
            percent(grid.churn_seeds.estimate),
            str(grid.share.n),
        ]

    numeric = ["accuracy", "σ last bit", "95%", "σ seeds", "95%", "last-bit share", "95%"]
    return Table(
        columns(["training"], [*numeric, "weights, last bit", "churn, last bit", "churn, seeds", "runs"]),
        [Row(cells(grid)) for grid in measured.grids],
        "Test accuracy; spreads in points. σ seeds is what the order of the batches adds to the last bit's; weights is "
        "the mean relative L1 distance of one seed's runs; churn is the share of test examples on which two runs "
        "disagree.",
    )


def _sd(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return number(statistics.stdev(known), 2) if len(known) > 1 else number(None)


def _grid(grid: Grid) -> Table:
    """Return the accuracies as they are published: perturbations by seeds, with the SD of each row and column."""
    seeds = len(grid.accuracies[0]) if grid.accuracies else 0
    rows = [
        Row([label, *(number(value) for value in values), _sd(values)])
        for label, values in zip(grid.labels, grid.accuracies, strict=True)
    ]
    downwards = [_sd([values[seed] for values in grid.accuracies]) for seed in range(seeds)]
    numeric = [*(f"seed {seed}" for seed in range(seeds)), "SD over seeds"]
    return Table(
        columns(["update"], numeric),
        [*rows, Row(["SD over updates", *downwards, ""])],
        f"{ROWS[grid.name]}: test accuracy in percent.",
    )


def _tables(measured: Spreads) -> Sequence[Table]:
    elsewhere = table_of(
        _ELSEWHERE,
        {
            Column("varied"): lambda one: one[0],
            Column("SD of the accuracy, points", True): lambda one: number(one[1]),
            Column("standard error", True): lambda one: number(one[2]),
            Column("disagreement", True): lambda one: number(one[3], unit="%"),
        },
        caption=f"For comparison, n = 100 runs each: {_ELSEWHERE_SOURCE}.",
    )
    return (_summary(measured), *map(_grid, measured.grids), elsewhere)


def _remarks(measured: Spreads) -> Sequence[str]:
    said = [
        "A seed is an order of the batches, from the same initial weights: the stochasticity of SGD and no other.",
        "The share is a property of the training. It is large where the steps are large against what is stable and "
        "decay forgets the start (batch norm, large steps and decay), and next to nothing where they are small.",
        "In float64 a last bit is 2^29 times smaller than in float32 and needs more steps to reach the same level: "
        "where no accuracy of a row differs, see how far its weights are apart.",
        "A spread on one test set is mostly that set's sampling (Jordan, arXiv 2304.01910); both spreads are measured "
        "on the same one.",
    ]
    silent = [grid for grid in measured.grids if grid.share.estimate is None]
    said += [f"{ROWS[grid.name]}: no share, for the audit answered {grid.verdict_kind}." for grid in silent]
    lost = [grid for grid in measured.grids if grid.diverged]
    return said + [f"{ROWS[grid.name]}: {plural(grid.diverged, 'run')} diverged." for grid in lost]


CLAIM = Claim[Spreads](
    id="C2",
    title="Test accuracies spread over last bits about as far as over SGD's seeds",
    printed="the table of test accuracies over seeds and perturbations",
    published=Form(
        says="The spread of test accuracies over perturbations of the last bit is comparable to that over the seeds "
        "of SGD, for SGD and its variants.",
        rule="Comparable: the whole 95% interval of the last bit's share of the variance lies above 1/10, so that "
        "its SD is within half a decade of that over seeds. Held if more than half of the seven rows are comparable "
        "and no interval lies wholly below 1/10; not held if one does, or if no perturbation changes any accuracy; "
        "otherwise, or if a row is missing, undecided.",
        judge=judge_published,
    ),
    found=Form(
        says="How large the last bit's share is depends on the training: it is comparable with batch norm, large steps "
        "and decay, and next to nothing without normalisation and with small steps.",
        rule="Held if the 95% interval of the share lies wholly above 1/10 in the first training and wholly below in "
        "the second; not held if it lies wholly below in the first or wholly above in the second; otherwise undecided.",
        judge=judge_found,
    ),
    scales={
        "small": "digits, a three-layer CNN, 10 epochs: 9 (of Nesterov 18) seeds by 3 perturbations for 7 trainings",
        "medium": "Fashion-MNIST, ResNet-8, an epoch of 12,000 images: 6 (in float64 3) by 3 for each of 7 trainings",
        "full": "CIFAR-10, ResNet-56, 200 epochs: 6 by 6 for each of 7 trainings",
    },
    pieces=pieces,
    gather=_gather,
    drawings=_drawings,
    tables=_tables,
    remarks=_remarks,
)
"""The claim."""
