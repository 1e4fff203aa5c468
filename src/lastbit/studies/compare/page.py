"""The page of a comparison: the decision, both arms' runs and intervals, what decided, what the last bit could do."""

from __future__ import annotations

from lastbit.report.blocks import (
    Block,
    Column,
    Columns,
    Facts,
    FigureBlock,
    LegendEntry,
    Mark,
    Page,
    Prose,
    Row,
    Section,
    Sheet,
    Table,
    columns,
    table_of,
)
from lastbit.report.figures.arms import ArmStrip, DifferenceBar, arm_strips, difference_bars
from lastbit.report.figures.style import LAST_BIT, NEUTRAL, REAL, SEED
from lastbit.report.formatting import capitalised, count, interval, number, p_value, reason, show, show_chance
from lastbit.stats import BestOf, Estimate
from lastbit.store import StudyFolder
from lastbit.studies.compare.decided import UNNAMED, ArmRow, Pair
from lastbit.studies.compare.result import CompareResult
from lastbit.studies.frame.page import Kinds, runs_sheet, study_page

__all__ = ["compare_page"]

_KINDS: Kinds = {
    "real": ("pass", "A real difference"),
    "no_difference": ("pass", "No difference worth it"),
    "undecided": ("attention", "Undecided"),
    "no_runs": ("failure", "Too few runs"),
    "all_diverged": ("failure", "Every run diverged"),
}

_SAID = {"real": "real", "no_difference": "none worth it", "undecided": "undecided"}

_LONGEST = 60
"""Characters of an arm's name that stand beside a figure."""


def compare_page(folder: StudyFolder, result: CompareResult) -> Page:
    """Return the page of a comparison."""
    sections = []
    if result.pairs:
        sections.append(Section("The differences", [_pairs(result), *_remarks(result)], brief=True))
    sections.append(Section("The arms", [_arms(result)], brief=True))
    if any(arm.values for arm in result.arms):
        sections.append(Section("Every run", [_strips(result)]))
    if any(pair.difference.estimate is not None for pair in result.pairs):
        sections.append(Section("Differences with their intervals", [_bars(result)]))
    if result.comparison is not None:
        sections.append(Section("What decided", [Facts(_decided(result))]))
    if result.last_bit is not None:
        sections.append(Section("What the last bit alone could have done", [Facts(_last_bit(result))]))
    if result.examples is not None:
        lead = "Two networks, one of each arm and of one seed, on one test set: of other trainings this says nothing."
        sections.append(Section("The same examples", [Facts(_examples(result))], lead))
    if result.chosen:
        sections.append(Section("The best of several runs", [_chosen(result)], _CHOSEN))
    if result.runs:
        sections.append(Section("Runs", [_runs(result)]))
    names = [f"{arm.letter}: {_short(arm.name)}" for arm in result.arms]
    return study_page(
        folder,
        result,
        title="Comparison" if result.metric == UNNAMED else f"Comparison in {result.metric}",
        subtitle="; ".join(names),
        kinds=_KINDS,
        sections=sections,
    )


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _pairs(result: CompareResult) -> Table:
    points = result.points
    each: Columns[Pair] = {
        Column("difference"): lambda pair: f"{pair.b} − {pair.a}",
        Column("mean", True): lambda pair: show(pair.difference, points).value,
        Column("95% interval", True): lambda pair: show(pair.difference, points).interval,
        Column("decision"): lambda pair: _SAID[pair.verdict],
        Column("p", True): lambda pair: p_value(pair.p_value),
        Column("chance to beat it", True): lambda pair: show_chance(pair.probability_better).value,
        Column("its 95% interval", True): lambda pair: show_chance(pair.probability_better).interval,
    }
    return table_of(result.pairs, each, caption=f"Decided by {result.procedure}.")


def _remarks(result: CompareResult) -> list[Block]:
    return [Prose([f"{capitalised(text)}." for text in result.remarks], bullets=True)] if result.remarks else []


def _arms(result: CompareResult) -> Table:
    each: Columns[ArmRow] = {
        Column("arm"): lambda arm: arm.letter,
        Column("what"): lambda arm: arm.name,
        Column("seeds", True): lambda arm: count(arm.seeds),
        Column("runs", True): lambda arm: count(arm.runs),
        Column("mean", True): lambda arm: number(arm.mean.estimate, 4, result.unit),
        Column("95% interval", True): lambda arm: show(arm.mean, digits=4).interval,
        Column("SD of a fresh run", True): lambda arm: show(arm.sigma, result.points).value,
        Column("best run", True): lambda arm: number(arm.best, 4, result.unit),
        Column("not told apart"): lambda arm: arm.group,
        Column("left out", quiet=True): lambda arm: arm.left_out,
    }
    return table_of(result.arms, each).filled


def _strips(result: CompareResult) -> FigureBlock:
    arms = [
        ArmStrip(
            label=f"{arm.letter}: {_short(arm.name)}" if len(arm.name) < 24 else arm.letter,
            values=arm.values,
            seeds=arm.seed_of,
            mean=arm.mean.estimate,
            low=arm.mean.low,
            high=arm.mean.high,
        )
        for arm in result.arms
    ]
    return FigureBlock(
        name="arms",
        figure=arm_strips(arms, result.metric, result.unit),
        height=120 + 64 * len(arms),
        describe=f"{result.metric} of every run of each arm, with the mean over seeds and its 95% interval",
        caption="The best of several runs is above their mean by chance alone: compare the means.",
        legend=[
            LegendEntry("a run", SEED, "runs", "point"),
            LegendEntry("mean over seeds, with its 95% interval", NEUTRAL, "mean", "diamond"),
        ],
    )


def _bars(result: CompareResult) -> FigureBlock:
    bars = [
        DifferenceBar(
            label=f"{pair.b} − {pair.a}",
            difference=pair.difference.estimate,
            low=pair.difference.low,
            high=pair.difference.high,
            tone=pair.verdict,
        )
        for pair in result.pairs
        if pair.difference.estimate is not None
    ]
    marks: list[tuple[str, str, str, Mark]] = [
        ("real", REAL, "real", "diamond"),
        ("none worth it", SEED, "no_difference", "diamond"),
        ("undecided", NEUTRAL, "undecided", "diamond"),
    ]
    seen = {bar.tone for bar in bars}
    legend = [LegendEntry(label, colour, group, mark) for label, colour, group, mark in marks if group in seen]
    if result.worth is not None:
        legend.append(LegendEntry("not worth it", LAST_BIT, "", "band"))
    return FigureBlock(
        name="differences",
        figure=difference_bars(bars, result.points, result.worth),
        height=100 + 40 * len(bars),
        describe="The difference of each pair of arms with its 95% interval",
        legend=legend,
    )


def _decided(result: CompareResult) -> list[tuple[str, str]]:
    found, points = result.comparison, result.points
    assert found is not None
    rows = [("Procedure", result.procedure), ("Reason", result.pairs[0].reason or found.reason)]
    rows.append(
        ("Smallest true difference that so many seeds find, 4 times of 5", f"{show(found.smallest_seen, points)}")
    )
    rows.append(("Seeds of each arm that would show the observed one, 4 times of 5", _seeds(found.seeds_to_settle)))
    if found.seeds_for_worth is not None:
        rows.append(("Seeds of each arm that would show none worth it", _seeds(found.seeds_for_worth)))
    if found.pairing is not None:
        rows.append(("Variance of the difference, with pairing over without", number(found.pairing, 3)))
    if result.sequential is not None and result.sequential.threshold is not None:
        rows.append(("p below which this look decides", number(result.sequential.threshold, 3)))
    return rows


def _seeds(needed: Estimate) -> str:
    if needed.estimate is None:
        return reason(needed)
    return f"{count(needed.estimate)} ({interval(needed.low, needed.high)})"


def _last_bit(result: CompareResult) -> list[tuple[str, str]]:
    found, points = result.last_bit, result.points
    assert found is not None
    rows = []
    if (control := result.control) is not None:
        matched = f"{count(control.pairs_identical)} of {count(control.pairs)} match bit for bit"
        rows.append(("Exact repeats", matched))
    if (landing := result.perturbation) is not None:
        landed = landing.twins - len(landing.not_landed)
        rows.append(("Perturbed runs", f"{count(landed)} of {count(landing.twins)} changed"))
    if found.can_flip is None:
        return [*rows, ("Not measurable", reason(found.rerun))]
    return [
        *rows,
        ("Share of the variance of the difference", f"{show(found.variance_share, '%')}"),
        ("A rerun with the same seeds lies within", f"{show(found.rerun, points).interval} {points}".strip()),
        ("It alone can flip the sign", "yes" if found.can_flip else "no"),
        ("SD of the last bit", f"{show(found.sigma_last_bit, points)}"),
    ]


def _examples(result: CompareResult) -> list[tuple[str, str]]:
    found = result.examples
    assert found is not None
    return [
        ("Difference of the accuracies, B − A", f"{show(found.difference.scaled(100.0), 'points')}"),
        ("Right in B alone, in A alone", f"{count(found.only_b)}, {count(found.only_a)}"),
        ("p", p_value(found.p_value)),
        ("Procedure", found.procedure),
    ]


_CHOSEN = (
    "Whoever reports the best of several seeds reports their mean and what choosing adds; a comparison of best runs "
    "compares luck as well."
)


def _chosen(result: CompareResult) -> Table:
    rows = list(zip((arm.letter for arm in result.arms if arm.values), result.chosen, strict=True))
    each: Columns[tuple[str, BestOf]] = {
        Column("arm"): lambda row: row[0],
        Column("seeds", True): lambda row: count(row[1].n),
        Column("mean", True): lambda row: number(row[1].mean, 4, result.unit),
        Column("best seed", True): lambda row: number(row[1].best, 4, result.unit),
        Column("what choosing adds", True): lambda row: show(row[1].by_selection, result.points).value,
        Column("95% interval", True): lambda row: show(row[1].by_selection, result.points).interval,
    }
    return table_of(rows, each)


def _runs(result: CompareResult) -> Table:
    heads = columns(["run", "status"], ["result"], "message")
    rows = [
        Row(
            (run.run, run.status, number(run.metrics.get(result.metric), 5, result.unit), run.message),
            values=(None, None, run.metrics.get(result.metric), None),
        )
        for run in result.runs
    ]
    sheet: Sheet = runs_sheet(result.runs)
    return Table(heads, rows, sheet=sheet)
