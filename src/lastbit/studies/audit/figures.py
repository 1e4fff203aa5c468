"""The figures of an audit's report, each in its section with legend, caption and words for who cannot see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan

import numpy as np

from lastbit.core.status import Role
from lastbit.report.blocks import Block, FigureBlock, LegendEntry, Mark, Prose, Section
from lastbit.report.figures.curves import training_curves, twin_gaps
from lastbit.report.figures.maps import churn_heat_map
from lastbit.report.figures.strips import Result, result_strip, weight_distances
from lastbit.report.figures.style import LAST_BIT, NEUTRAL, REAL, SAMPLING, SEED
from lastbit.report.figures.variance import VarianceSplit, variance_bars, variance_height
from lastbit.report.formatting import capitalised, number, plural
from lastbit.store import RunRecord
from lastbit.studies.audit.gaps import MAX_LINES, Gaps, curves, spread_within_seeds
from lastbit.studies.audit.result import AuditResult

__all__ = [
    "churn_sections",
    "curves_sections",
    "legend_of",
    "results_section",
    "variance_section",
    "weights_sections",
]

Legend = Sequence[LegendEntry]

_CAUSES = {"last bit": LAST_BIT, "seed": SEED}
_SAMPLES = {"on the distribution": REAL, "this test set's sampling": SAMPLING}

_MATRIX_RUNS = 150
"""The most runs that the churn matrix shows one by one."""

_KEPT = "Mean relative L1 distance, mean(2|a − b| / (|a| + |b|))"
_SKETCHED = "Relative L2 distance, 2|a − b| / (|a| + |b|), estimated from sketches of the weights"


_SEEDS_NAMED = 16
"""The most seeds that a legend names one by one: of dozens of shades it tells the first and the last."""


def legend_of(colours: Mapping[int, str]) -> Legend:
    """Return a legend of the seeds."""
    entries = [LegendEntry(f"seed {seed}", colour, f"seed {seed}") for seed, colour in colours.items()]
    if len(entries) <= _SEEDS_NAMED:
        return entries
    first, last = entries[0], entries[-1]
    return [LegendEntry(f"{first.label}, then in order to", first.colour), LegendEntry(last.label, last.colour)]


def _marked(legend: Legend, mark: Mark) -> list[LegendEntry]:
    return [replace(entry, mark=mark) for entry in legend]


def results_section(result: AuditResult, colours: Mapping[int, str], legend: Legend) -> Section:
    """Return the strip plot of the final metric."""
    name, unit = result.metric.name, result.metric.unit
    rows = [
        Result(
            run=run.run,
            seed=run.cell,
            perturbation=run.twin,
            label=run.label,
            control=run.role == Role.REPEAT,
            status=run.status,
            value=nan if (value := run.metrics.get(name)) is None else value,
        )
        for run in result.runs
    ]
    figure = FigureBlock(
        name="results",
        figure=result_strip(rows, name, unit, colours),
        height=330,
        describe=f"Final {name} of every run, by seed",
        caption="One marker per run. Markers of one seed differ by the last bit alone.",
        legend=[
            *legend,
            LegendEntry("unperturbed", NEUTRAL, mark="diamond"),
            LegendEntry("its exact repeat", NEUTRAL, mark="ring"),
            LegendEntry("perturbed", NEUTRAL, mark="point"),
            LegendEntry("mean of the seed", NEUTRAL, mark="line"),
        ],
    )
    return Section(f"Every run: final {name}", [figure])


def variance_section(result: AuditResult) -> Section:
    """Return what the variance is made of, or that it is not measured."""
    name, loss, spread = result.metric.name, result.loss, result.distribution
    shares = {f"Variance of {name}": result.last_bit_variance_share}
    if loss is not None:
        shares["Variance of the test loss"] = loss.last_bit_variance_share
    causes = [
        VarianceSplit(
            title=f"{what} over fresh runs: the last bit or the seed",
            parts=_CAUSES,
            share=share.estimate,
            low=share.low,
            high=share.high,
        )
        for what, share in shares.items()
        if share.estimate is not None
    ]
    samples = []
    parts = {} if spread is None else {"of fresh runs": spread.total, "over the last bit": spread.last_bit}
    for who, part in parts.items():
        real, sampling = part.distribution.estimate, part.test_set.estimate
        if real is not None and sampling is not None and real + sampling > 0:
            title = f"{capitalised(name)} {who}: other networks or luck"
            share = part.distribution_share
            assert share.estimate is not None, "both parts are known"
            ends = {"low": share.low, "high": share.high}
            samples.append(VarianceSplit(title=title, parts=_SAMPLES, share=share.estimate, **ends))
    legend, caption = [], []
    if causes:
        legend += [LegendEntry(*part) for part in _CAUSES.items()]
        caption.append("The whisker is the 95% interval of the last bit's share.")
    if samples:
        legend += [LegendEntry(*part) for part in _SAMPLES.items()]
        caption.append(
            "On the distribution: better or worse networks, which another test set would show too; this test set's "
            "sampling: luck on these examples. The two are told apart by the covariance over runs of the scores on two "
            "halves of the test set; the whisker is the interval of the first's share, at least 95%."
        )
    if any(split.low is not None or split.high is not None for split in (*causes, *samples)):
        legend.append(LegendEntry("interval of the left part", NEUTRAL, mark="whisker"))
    block: Block = FigureBlock(
        name="variance",
        figure=variance_bars([*causes, *samples]),
        height=variance_height([*causes, *samples]),
        describe="Shares of the variance: last bit against seed, distribution against test-set sampling",
        caption=" ".join(caption),
        legend=legend,
    )
    if not caption:
        block = Prose(("Not measured: the runs show no spread to divide, or the grid is too small.",))
    return Section("What the variance is made of", [block])


def curves_sections(
    result: AuditResult, records: Sequence[RunRecord], gaps: Gaps, colours: Mapping[int, str], legend: Legend
) -> list[Section]:
    """Return the training curves, and when the last bit starts to matter, where there are twins."""
    name, unit = result.metric.name, result.metric.unit
    metric, loss = curves(records, name, colours), curves(records, "train_loss", colours)
    sections = []
    # A function or command shows its result alone, which is no curve.
    if loss or any(line.x is not None and len(line.x) > 1 for line in metric):
        block = FigureBlock(
            name="training",
            figure=training_curves(metric, loss, f"test {name} ({unit})" if unit else f"test {name}"),
            height=520,
            describe=f"Test {name} and training loss of every run over optimizer steps",
            caption=_counted(
                "One line per run, one point per epoch", len([r for r in records if r.role != Role.REPEAT]), MAX_LINES
            ),
            legend=_marked(legend, "line"),
        )
        sections.append(Section("Training curves", [block]))
    if gaps.twins:
        grey = "; grey: the root mean square difference between two seeds" if gaps.between else ""
        width = max(line.dx or 1 for line in [*gaps.twins, *gaps.between])
        binned = f" Each point is the root mean square over {width} steps." if width > 1 else ""
        left = f" {plural(gaps.left_out, 'more twin')} not drawn." if gaps.left_out else ""
        lead = "Twins start equal but for the last bit."
        if gaps.between:
            lead += (
                " Where their difference rises to the grey line, the training has turned rounding into as much change "
                "as another seed."
            )
        block = FigureBlock(
            name="twins",
            figure=twin_gaps(gaps.twins, gaps.between, spread_within_seeds(records, "test_loss", colours)),
            height=560,
            describe="Difference in training loss between each perturbed run and its base over steps, logarithmic",
            caption="Above: the size of the difference between the training losses of a perturbed run and its "
            f"unperturbed twin, at every step{grey}. Below: the SD of the test loss over a seed's perturbations, by "
            f"epoch. Differences of exactly 0 are not drawn.{binned}{left}",
            legend=_marked(
                [*legend, *(LegendEntry("between seeds", line.colour, line.group) for line in gaps.between)], "line"
            ),
        )
        sections.append(Section("When the last bit starts to matter", [block], lead))
    return sections


def _counted(text: str, count: int, most: int) -> str:
    return f"{text}; the first {most} of {count} runs." if count > most else f"{text}."


def churn_sections(result: AuditResult) -> list[Section]:
    """Return the churn matrix, where the task has classes."""
    matrix = result.churn_matrix
    if matrix is None:
        return []
    known = {run.run: run for run in result.runs}
    runs = [known[name] for name in matrix.runs]
    order = sorted(range(len(runs)), key=lambda i: runs[i].cell)[:_MATRIX_RUNS]
    values_RR = np.asarray(matrix.values, dtype=float)[np.ix_(order, order)]
    labels = [f"{runs[i].run}, {runs[i].label}" for i in order]
    block = FigureBlock(
        name="churn",
        figure=churn_heat_map(values_RR, [runs[i].cell for i in order], labels),
        height=520,
        max_width=660,
        describe="Share of test examples on which two runs predict differently, for every pair of runs",
        caption=_counted(
            "Share of test examples on which two runs predict differently. Squares on the diagonal hold runs of one "
            "seed: where they are as bright as the rest, the last bit changes as many predictions as another seed",
            len(runs),
            _MATRIX_RUNS,
        ),
    )
    return [Section("Churn: which predictions change", [block])]


def weights_sections(gaps: Gaps, colours: Mapping[int, str], legend: Legend, *, sketched: bool) -> list[Section]:
    """Return how far the final weights are apart, where they are at all; `sketched` where they are not kept."""
    drawn = [d for d in gaps.weights if d.value > 0]
    if not drawn:
        return []
    other = LegendEntry("to another seed", NEUTRAL, "between seeds", "ring")
    between = [other] if any(d.between_seeds for d in drawn) else []
    low, high = min(d.value for d in drawn), max(d.value for d in drawn)
    block = FigureBlock(
        name="weights",
        figure=weight_distances(drawn, colours, *(["relative L2"] if sketched else [])),
        height=340,
        describe=f"Distance of final weights between runs, from {number(low, 2)} to {number(high, 2)}",
        caption=f"{_SKETCHED if sketched else _KEPT}, of a run's final weights from those of its seed's unperturbed "
        "run (filled) and from another seed's (ring): one float32 ulp is about 1e-7, unrelated weights are of order 1, "
        "the largest value is 2.",
        legend=[*_marked(legend, "point"), *between],
    )
    return [Section("How far the weights went apart", [block])]
