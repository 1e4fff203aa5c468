"""The figures of an audit's report, each in its section with legend, caption and words for who cannot see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lastbit.core.status import Role
from lastbit.report.blocks import FigureBlock, LegendEntry, Prose, Section
from lastbit.report.figures.churn import churn_heat_map
from lastbit.report.figures.curves import training_curves, twin_gaps
from lastbit.report.figures.results import Result, result_strip
from lastbit.report.figures.style import LAST_BIT, NEUTRAL, REAL, SAMPLING, SEED
from lastbit.report.figures.variance import VarianceSplit, variance_bars
from lastbit.report.figures.weights import weight_distances
from lastbit.report.formatting import capitalised, number
from lastbit.store import RunRecord
from lastbit.studies.audit.gaps import MAX_LINES, Gaps, curves, spread_within_seeds
from lastbit.studies.audit.result import AuditResult
from lastbit.studies.frame.result import RunRow

__all__ = ["churn_sections", "curves_sections", "results_section", "variance_section", "weights_sections"]

_CAUSES, _SAMPLES = (LAST_BIT, SEED), (REAL, SAMPLING)

_MATRIX_RUNS = 150
"""The most runs that the churn matrix shows one by one."""


def results_section(result: AuditResult, colours: Mapping[int, str], legend: Sequence[LegendEntry]) -> Section:
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
            value=_value(run, name),
        )
        for run in result.runs
    ]
    figure = FigureBlock(
        name="results",
        figure=result_strip(rows, name, unit, colours),
        height=330,
        describe=f"Final {name} of every run, by seed",
        caption="One marker per run: ◆ unperturbed, ○ its exact repeat, ● perturbed; the line is the seed's mean. "
        "Markers of one seed differ by the last bit alone.",
        legend=legend,
    )
    return Section(f"Every run: final {name}", [figure])


def _value(run: RunRow, name: str) -> float:
    value = run.metrics.get(name)
    return float("nan") if value is None else float(value)


def variance_section(result: AuditResult) -> Section:
    """Return what the variance is made of, or that it is not measured."""
    splits = []
    name = result.metric.name
    shares = [(f"Variance of {name}", result.last_bit_variance_share)]
    if result.loss is not None:
        shares.append(("Variance of the test loss", result.loss.last_bit_variance_share))
    for what, share in shares:
        if share.estimate is not None:
            splits.append(
                VarianceSplit(
                    title=f"{what} over fresh runs: the last bit or the seed",
                    first="last bit",
                    second="seed",
                    share=share.estimate,
                    low=share.low,
                    high=share.high,
                    colours=_CAUSES,
                )
            )
    spread = result.distribution
    parts = () if spread is None else (("of fresh runs", spread.total), ("over the last bit", spread.last_bit))
    for who, part in parts:
        real, sampling = part.distribution.estimate, part.test_set.estimate
        if real is not None and sampling is not None and real + sampling > 0:
            splits.append(
                VarianceSplit(
                    title=f"{capitalised(name)} {who}: other networks or luck",
                    first="on the distribution",
                    second="this test set's sampling",
                    share=real**2 / (real**2 + sampling**2),
                    colours=_SAMPLES,
                )
            )
    title = "What the variance is made of"
    if not splits:
        return Section(title, [Prose(("Not measured: the runs show no spread to divide, or the grid is too small.",))])
    causes, samples = (any(split.colours == pair for split in splits) for pair in (_CAUSES, _SAMPLES))
    legend, caption = [], []
    if causes:
        legend += [LegendEntry("last bit", LAST_BIT), LegendEntry("seed", SEED)]
        caption.append("The whisker is the 95% interval of the last bit's share.")
    if samples:
        legend += [LegendEntry("on the distribution", REAL), LegendEntry("this test set's sampling", SAMPLING)]
        caption.append(
            "On the distribution: better or worse networks, which another test set would show too; this test set's "
            "sampling: luck on these examples. The two are told apart by the covariance over runs of the scores on two "
            "halves of the test set; their intervals are in the table below."
        )
    block = FigureBlock(
        name="variance",
        figure=variance_bars(splits),
        height=60 + 86 * len(splits),
        describe="Shares of the variance: last bit against seed, distribution against test-set sampling",
        caption=" ".join(caption),
        legend=legend,
    )
    return Section(title, [block])


def curves_sections(
    result: AuditResult,
    records: Sequence[RunRecord],
    gaps: Gaps,
    colours: Mapping[int, str],
    legend: Sequence[LegendEntry],
) -> list[Section]:
    """Return the training curves, and when the last bit starts to matter, where there are twins."""
    name, unit = result.metric.name, result.metric.unit
    metric, loss = curves(records, name), curves(records, "train_loss")
    sections = []
    if metric or loss:
        title = f"test {name} ({unit})" if unit else f"test {name}"
        block = FigureBlock(
            name="training",
            figure=training_curves(metric, loss, title, "training loss", colours),
            height=520,
            describe=f"Test {name} and training loss of every run over optimizer steps",
            caption=_counted(
                "One line per run, one point per epoch", len([r for r in records if r.role != Role.REPEAT]), MAX_LINES
            ),
            legend=legend,
        )
        sections.append(Section("Training curves", [block]))
    spread = spread_within_seeds(records, "test_loss")
    if gaps.losses and any(gap.seed is not None for gap in gaps.losses):
        several = gaps.losses[-1].seed is None
        width = max(gap.width for gap in gaps.losses)
        grey = "; grey: the root mean square difference between two seeds" if several else ""
        binned = f" Each point is the root mean square over {width} steps." if width > 1 else ""
        left = f" {gaps.left_out} more twins are not drawn." if gaps.left_out else ""
        block = FigureBlock(
            name="twins",
            figure=twin_gaps(gaps.losses, spread, "|Δ training loss|", "SD of test loss", colours),
            height=560,
            describe="Difference in training loss between each perturbed run and its base over steps, logarithmic",
            caption="Above: the size of the difference between the training losses of a perturbed run and its "
            f"unperturbed twin, at every step{grey}. Below: the SD of the test loss over a seed's perturbations, by "
            f"epoch. Differences of exactly 0 are not drawn.{binned}{left}",
            legend=[*legend, *([LegendEntry("between seeds", NEUTRAL, "between seeds")] if several else [])],
        )
        lead = "Twins start equal but for the last bit." + (
            " Where their difference rises to the grey line, the training has turned rounding into as much change as "
            "another seed."
            if several
            else ""
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
    seed_of = {run.run: (run.cell, run.label) for run in result.runs}
    order = sorted(range(len(matrix.runs)), key=lambda i: seed_of[matrix.runs[i]][0])
    count, order = len(order), order[:_MATRIX_RUNS]
    values_RR = np.asarray(matrix.values, dtype=float)[np.ix_(order, order)]
    names = [matrix.runs[i] for i in order]
    labels = [f"{name}, {seed_of[name][1]}" for name in names]
    block = FigureBlock(
        name="churn",
        figure=churn_heat_map(values_RR, [seed_of[name][0] for name in names], labels),
        height=520,
        max_width=660,
        describe="Share of test examples on which two runs predict differently, for every pair of runs",
        caption=_counted(
            "Share of test examples on which two runs predict differently. Squares on the diagonal hold runs of one "
            "seed: where they are as bright as the rest, the last bit changes as many predictions as another seed",
            count,
            _MATRIX_RUNS,
        ),
    )
    return [Section("Churn: which predictions change", [block])]


def weights_sections(gaps: Gaps, colours: Mapping[int, str], legend: Sequence[LegendEntry]) -> list[Section]:
    """Return how far the final weights are apart, where they are at all."""
    drawn = [d for d in gaps.weights if d.value > 0]
    if not drawn:
        return []
    between = [LegendEntry("to another seed", NEUTRAL, "between seeds")] if any(d.between_seeds for d in drawn) else []
    low, high = min(d.value for d in drawn), max(d.value for d in drawn)
    block = FigureBlock(
        name="weights",
        figure=weight_distances(drawn, colours),
        height=340,
        describe=f"Distance of final weights between runs, from {number(low, 2)} to {number(high, 2)}",
        caption="Mean relative L1 distance, mean(2|a − b| / (|a| + |b|)), of a run's final weights from those of its "
        "seed's unperturbed run (filled) and from another seed's (ring): one float32 ulp is about 1e-7, unrelated "
        "weights are of order 1, the largest value is 2.",
        legend=[*legend, *between],
    )
    return [Section("How far the weights went apart", [block])]
