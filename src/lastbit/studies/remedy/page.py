"""The page of a search for a remedy: the answer, the ranked table, the confirmation apart from it, the controls."""

from __future__ import annotations

from collections.abc import Sequence

from lastbit.report.blocks import (
    Block,
    Column,
    Columns,
    Facts,
    FigureBlock,
    LegendEntry,
    Page,
    Prose,
    Row,
    Section,
    Table,
    Tone,
    columns,
    table_of,
)
from lastbit.report.figures.ratios import RatioBar, ratio_bars
from lastbit.report.figures.style import LAST_BIT, NEUTRAL, REAL
from lastbit.report.formatting import Shown, count, number, plural, show, show_ratio
from lastbit.stats import Estimate
from lastbit.store import StudyFolder
from lastbit.studies.frame.page import Kinds, runs_sheet, study_page
from lastbit.studies.remedy.found import BaseSpread, ChangeEffect
from lastbit.studies.remedy.result import RemedyResult

__all__ = ["remedy_page"]

_KINDS: Kinds = {
    "remedy": ("pass", "A remedy"),
    "none": ("attention", "None calms it"),
    "undecided": ("attention", "Undecided"),
    "nothing_to_calm": ("pass", "Nothing to calm"),
    "not_reproducible": ("failure", "Not reproducible"),
    "not_landed": ("failure", "Perturbation not seen"),
    "all_diverged": ("failure", "Every run diverged"),
    "no_runs": ("failure", "Too few runs"),
}

_EXPLORED = (
    "Each change by itself, on the same seeds as the training as it is, the base. Ratios are the change's over the "
    "base's, and all intervals of a column together hold with 95%. Who looks at many changes finds one that looks "
    "good: what looked best is the answer only once fresh seeds confirm it."
)

_SEEDS_LEFT = (
    "A fresh run has another seed: its spread is what a reader of the result sees, and most changes that calm the last "
    "bit leave it."
)


def remedy_page(folder: StudyFolder, result: RemedyResult) -> Page:
    """Return the page of a search for a remedy."""
    sections = []
    if result.changes and not result.nothing_to_calm:
        sections.append(Section("The exploration", _tables(result, result.changes), _EXPLORED, brief=True))
        if any(one.last_bit.estimate is not None for one in result.changes):
            sections.append(Section("Last-bit spread that is left", [_bars(result)]))
    if result.confirmation is not None:
        lead = f"{result.confirmation.name} and the training as it is, trained again with {_fresh(result)}."
        sections.append(Section("The confirmation", _tables(result, [result.confirmation]), lead, brief=True))
    if result.changes and not result.nothing_to_calm:
        sections.append(Section("The spread over fresh seeds", [_seeds(result)], _SEEDS_LEFT))
        sections.append(Section("What each change is", [_what(result)]))
    if result.base is not None:
        sections.append(Section("The training as it is", [_base(result, result.base)]))
    sections.append(Section("Controls", [_controls(result)], brief=True))
    sections.append(Section("What was not done", [Prose(_undone(result), bullets=True)]))
    if result.runs:
        sections.append(Section("Runs", [_runs(result)]))
    return study_page(
        folder,
        result,
        title=f"What would calm {result.task['name']}?",
        subtitle=_size(result),
        kinds=_KINDS,
        sections=sections,
    )


def _fresh(result: RemedyResult) -> str:
    assert result.confirmation is not None
    return plural(result.confirmation.seeds, "fresh seed")


def _size(result: RemedyResult) -> str:
    settings = result.spec["settings"]
    changes = plural(len(settings["variant"] or settings["change"]), "change")
    return f"{changes}, {plural(settings['seeds'], 'seed')} × {plural(settings['perturbations'], 'run')} each"


def _ratio(estimate: Estimate | None) -> str:
    return "" if estimate is None else _bracketed(show_ratio(estimate))


def _bracketed(shown: Shown) -> str:
    return f"{shown.value} [{shown.interval}]" if shown.interval else shown.value


def _is(result: RemedyResult, change: ChangeEffect) -> str:
    """Return what a change is, in words."""
    said = "calms" if change.calms else "raises it" if change.raises else "not told apart"
    if change.lost:
        said += f"; lost {plural(len(change.lost), 'run')}"
    if change.harm == "worse":
        said += f"; worse in {result.metric}"
    if change.harm == "harmless":
        said += "; harmless"
    return said


def _tone(change: ChangeEffect) -> Tone | None:
    return "pass" if change.eligible else "failure" if change.raises or change.lost or change.harm == "worse" else None


def _tables(result: RemedyResult, changes: Sequence[ChangeEffect]) -> list[Block]:
    """Return what each change does to the result, and what else it does."""
    to_result: Columns[ChangeEffect] = {
        Column("change"): lambda one: one.name,
        Column("it"): lambda one: _is(result, one),
        Column("SD of the test loss", True): lambda one: _ratio(one.loss_last_bit),
        Column(f"SD of {result.metric}", True): lambda one: _ratio(one.metric_last_bit),
        Column(f"{result.metric}, {result.points}".removesuffix(", "), True): lambda one: _bracketed(
            show(one.difference)
        ),
    }
    beside: Columns[ChangeEffect] = {
        Column("change"): lambda one: one.name,
        Column("churn", True): lambda one: _ratio(one.churn),
        Column("distance of the weights", True): lambda one: _ratio(one.weight_distance),
        Column("seconds of a run", True): lambda one: _ratio(one.cost),
    }
    tables = [table_of(changes, columns, tone=_tone).filled for columns in (to_result, beside)]
    return [table for table in tables if len(table.columns) > 1]


def _seeds(result: RemedyResult) -> Table:
    confirmed = [("confirmation", result.confirmation)] if result.confirmation is not None else []
    rows = [*(("exploration", one) for one in result.changes), *confirmed]
    each: Columns[tuple[str, ChangeEffect]] = {
        Column("change"): lambda row: row[1].name,
        Column("seen in"): lambda row: row[0],
        Column("seeds", True): lambda row: count(row[1].seeds),
        Column("SD of the test loss", True): lambda row: _ratio(row[1].loss_fresh),
        Column(f"SD of {result.metric}", True): lambda row: _ratio(row[1].metric_fresh),
    }
    return table_of(rows, each).filled


def _what(result: RemedyResult) -> Facts:
    return Facts([(one.name, one.says) for one in sorted(result.changes, key=lambda one: one.name)])


def _bars(result: RemedyResult) -> FigureBlock:
    bars = [
        RatioBar(
            label=one.name,
            ratio=one.last_bit.estimate,
            low=one.last_bit.low,
            high=one.last_bit.high,
            tone="calms" if one.calms else "raises" if one.raises else "open",
        )
        for one in result.changes
        if one.last_bit.estimate is not None
    ]
    words = {"calms": ("calms", REAL), "open": ("not told apart", NEUTRAL), "raises": ("raises it", LAST_BIT)}
    seen = {bar.tone for bar in bars}
    what = result.judged
    return FigureBlock(
        name="ratios",
        figure=ratio_bars(bars, f"last-bit SD of {what}, over the base's"),
        height=110 + 34 * len(bars),
        describe=f"The last-bit SD of {what} of each change over that of the training as it is, with its interval",
        caption="Left of the line at 1 a change calms the training; what is below a thousandth is drawn at its edge.",
        legend=[LegendEntry(label, colour, tone, "diamond") for tone, (label, colour) in words.items() if tone in seen],
    )


def _base(result: RemedyResult, base: BaseSpread) -> Table:
    rows = [("test loss", "", base.loss)] if base.loss is not None else []
    rows.append((result.metric, result.points, base.metric))
    cells = [
        Row(
            (
                name,
                number(spread.mean.estimate, 4, result.unit if unit else ""),
                show(spread.sigma_last_bit, unit).value,
                show(spread.sigma_total, unit).value,
                show(spread.last_bit_variance_share, "%").value,
            )
        )
        for name, unit, spread in rows
        if spread is not None
    ]
    heads = columns(["quantity"], ["mean", "SD of the last bit", "SD of a fresh run", "the last bit's share"])
    return Table(heads, cells)


def _controls(result: RemedyResult) -> Facts:
    control, landing = result.control, result.perturbation
    matched = f"{count(control.pairs_identical)} of {count(control.pairs)} match bit for bit"
    landed = f"{count(landing.twins - len(landing.not_landed))} of {count(landing.twins)} changed ({landing.kind})"
    return Facts([("Exact repeats", matched), ("Perturbed runs", landed)])


def _undone(result: RemedyResult) -> list[str]:
    said = ["Changes were tried one by one: what two of them do together was not measured."]
    said.append("A remedy is one at this length of training: a longer one may bring the spread back.")
    if result.worth is None:
        said.append("No --worth was given: no change is called harmless, a loss is only shown or not shown.")
    if not result.confirms:
        said.append("Nothing was confirmed on fresh seeds (--no-confirm): what looked best may look so by chance.")
    said.append("Weight distances are of the trained weights, of a change that averages them too.")
    return said


def _runs(result: RemedyResult) -> Table:
    heads = columns(["run", "status"], ["result"], "message")
    rows = [
        Row(
            (run.run, run.status, number(run.metrics.get(result.metric), 5, result.unit), run.message),
            values=(None, None, run.metrics.get(result.metric), None),
        )
        for run in result.runs
    ]
    return Table(heads, rows, sheet=runs_sheet(result.runs))
