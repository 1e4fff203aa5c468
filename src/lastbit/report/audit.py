"""The report of an audit: which sections, tables and figures, in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lastbit.report import audit_tables as tables
from lastbit.report.audit_data import MAX_LINES, Gaps, curves, read_gaps, spread_within_seeds
from lastbit.report.figures.churn import churn_heat_map
from lastbit.report.figures.curves import training_curves, twin_gaps
from lastbit.report.figures.results import Result, result_strip
from lastbit.report.figures.style import LAST_BIT, NEUTRAL, REAL, SAMPLING, SEED, seed_colours
from lastbit.report.figures.variance import VarianceSplit, variance_bars
from lastbit.report.figures.weights import weight_distances
from lastbit.report.numbers import capitalised, number
from lastbit.report.shell import Block, Cards, Code, FigureBlock, LegendEntry, Page, Prose, Section, Tone
from lastbit.store import RunRecord, StudyFolder

__all__ = ["audit_page"]

_KINDS: dict[str, tuple[Tone, str]] = {
    "hardly_last_bit": ("pass", "Hardly any last-bit noise"),
    "no_spread": ("pass", "No spread"),
    "partly_last_bit": ("attention", "Part of the noise is the last bit"),
    "mostly_last_bit": ("attention", "Most of the noise is the last bit"),
    "not_measured": ("attention", "Not fully measured"),
    "not_reproducible": ("failure", "Not reproducible here"),
    "not_landed": ("failure", "The perturbation did not land"),
    "no_runs": ("failure", "No spread to report"),
}

_MATRIX_RUNS = 150
"""The most runs that the churn matrix shows one by one."""


def audit_page(folder: StudyFolder, result: Mapping[str, Any]) -> Page:
    """Return the page of a finished audit.

    Where the controls failed, no spread is shown anywhere: the page says why, where the repeat first differed and what
    to do, and lists the runs.

    Args:
        folder: the study, for its runs, arrays and events.
        result: what it concluded.

    Raises:
        KeyError: the result lacks something that every audit's result holds.
        LastbitError: an estimate of the result is none.
    """
    kind = str(result["verdict_kind"])
    tone, badge = _KINDS.get(kind, ("attention", kind.replace("_", " ")))
    silent = kind in tables.SILENT_KINDS
    sections = _silent_sections(result) if silent else _spread_sections(folder, result)
    sections += _closing_sections(folder, result)
    return Page(
        title=f"Audit of {result['task']['name']}",
        subtitle=_subtitle(result),
        tone=tone,
        badge=badge,
        verdict=capitalised(str(result["verdict"])),
        advice=str(result["advice"]),
        sections=sections,
        footer=f"Drawn by lastbit from the study {folder.path.resolve().name}; every number is in its result.json.",
    )


def _subtitle(result: Mapping[str, Any]) -> str:
    grid, task = result["spec"]["audit"], result["task"]
    counts = [(grid["seeds"], "seed"), (grid["perturbations"], "perturbation")]
    size = " × ".join(f"{count} {name}{'s' if count != 1 else ''}" for count, name in counts)
    return ", ".join(
        (
            f"{size} ({grid['perturb']})",
            f"{task['steps']:,} steps each",
            f"{task['test_size']:,} test examples",
            grid["dtype"],
        )
    )


def _silent_sections(result: Mapping[str, Any]) -> list[Section]:
    blocks: list[Block] = [tables.control_facts(result)]
    where = tables.difference_facts(result)
    lead = (
        "A spread is the last bit's only where an exact repeat matches bit for bit and the perturbation is seen in the "
        "weights. That is not so here, so this page reports none."
    )
    sections = [Section("Controls", blocks, lead)]
    if where is not None:
        sections.append(Section("Where the repeat first differs", [where]))
    return [*sections, *_failed_runs(result)]


def _failed_runs(result: Mapping[str, Any]) -> list[Section]:
    lines = tables.failures(result["runs"])
    return [Section("Runs that did not end well", [Prose(lines, bullets=True)])] if lines else []


def _spread_sections(folder: StudyFolder, result: Mapping[str, Any]) -> list[Section]:
    records = folder.runs()
    gaps = read_gaps(folder, records)
    seeds = [record.seed for record in records]
    colours = seed_colours(seeds)
    legend = [LegendEntry(f"seed {seed}", colour, f"seed {seed}") for seed, colour in colours.items()]
    # A legend of dozens of shades helps nobody: the hover names the run.
    legend = legend if len(legend) <= 16 else []
    sections = [
        Section("The numbers", [Cards(tables.cards(result))]),
        Section("How to read this", [tables.how_to_read(result)]),
        Section(
            "Controls", [tables.control_facts(result)], "Before any spread: does a repeat repeat, does the noise land?"
        ),
        _results(result, colours, legend),
        _variance(result),
        *_curves(result, records, gaps, colours, legend),
        *_churn(result),
        *_weights(result, gaps, colours, legend),
    ]
    if gaps.unreadable:
        names = ", ".join(gaps.unreadable[:8]) + (" …" if len(gaps.unreadable) > 8 else "")
        missing = f"The arrays of {len(gaps.unreadable)} runs are missing or damaged and not in these figures: {names}."
        sections.append(Section("What is missing", [Prose((missing,))]))
    plan = tables.plan_tables(result)
    if plan:
        lead = "Two configurations, each trained with fresh seeds, compared by a t test at 5% with 80% power."
        sections.append(Section("Planning a comparison", plan, lead))
    sections.append(Section("All estimates", [tables.estimates_table(result)]))
    return sections


def _results(result: Mapping[str, Any], colours: Mapping[int, str], legend: Sequence[LegendEntry]) -> Section:
    name, unit = result["metric"]["name"], result["metric"]["unit"]
    rows = [
        Result(
            run=run["run"], seed=run["seed"], perturbation=run["perturbation"], label=run["label"],
            control=run["control"], status=run["status"], value=_value(run, name),
        )
        for run in result["runs"]
    ]  # fmt: skip
    figure = FigureBlock(
        name="results",
        figure=result_strip(rows, name, unit, colours),
        height=380,
        describe=f"Final {name} of every run, by seed",
        caption="One marker per run: ◆ unperturbed, ○ its exact repeat, ● perturbed; the line is the seed's mean. "
        "Markers of one seed differ by the last bit alone.",
        legend=legend,
    )
    failed = tables.failures(result["runs"])
    blocks: list[Block] = [figure]
    if failed:
        blocks.append(Prose(("Runs that did not end well:", *failed), bullets=True))
    return Section(f"Every run: final {name}", blocks)


def _value(run: Mapping[str, Any], name: str) -> float:
    value = run["metrics"].get(name)
    return float("nan") if value is None else float(value)


def _variance(result: Mapping[str, Any]) -> Section:
    splits = []
    name = result["metric"]["name"]
    loss = result["loss"] or {}
    for title, share in (
        (f"Variance of {name} over fresh runs: the last bit or the seed", result["last_bit_variance_share"]),
        ("Variance of the test loss over fresh runs: the last bit or the seed", loss.get("last_bit_variance_share")),
    ):
        if share is not None and share["estimate"] is not None:
            splits.append(
                VarianceSplit(
                    title=title, first="last bit", second="seed", share=share["estimate"], low=share["low"],
                    high=share["high"], colours=(LAST_BIT, SEED),
                )
            )  # fmt: skip
    parts = result["distribution"] or {}
    for title, key in (
        (f"{capitalised(name)} of fresh runs: other networks or luck", "total"),
        (f"{capitalised(name)} over the last bit: other networks or luck", "last_bit"),
    ):
        if key in parts:
            real, sampling = (parts[key][part]["estimate"] for part in ("distribution", "test_set"))
            if real is not None and sampling is not None and real + sampling > 0:
                splits.append(
                    VarianceSplit(
                        title=title, first="on the distribution", second="this test set's sampling",
                        share=real**2 / (real**2 + sampling**2), colours=(REAL, SAMPLING),
                    )
                )  # fmt: skip
    title = "What the variance is made of"
    if not splits:
        return Section(title, [Prose(("Not measured: the runs show no spread to divide, or the grid is too small.",))])
    caption = (
        "The whisker is the 95% interval of the last bit's share. On the distribution: better or worse networks, which "
        "another test set would show too; this test set's sampling: luck on these examples. The two are told apart by "
        "the covariance over runs of the scores on two halves of the test set; their intervals are in the table below."
    )
    legend = [
        LegendEntry("last bit", LAST_BIT), LegendEntry("seed", SEED),
        LegendEntry("on the distribution", REAL),
        LegendEntry("this test set's sampling", SAMPLING),
    ]  # fmt: skip
    block = FigureBlock(
        name="variance",
        figure=variance_bars(splits),
        height=60 + 86 * len(splits),
        describe="Shares of the variance: last bit against seed, distribution against test-set sampling",
        caption=caption,
        legend=legend if parts else legend[:2],
    )
    return Section(title, [block])


def _curves(
    result: Mapping[str, Any],
    records: Sequence[RunRecord],
    gaps: Gaps,
    colours: Mapping[int, str],
    legend: Sequence[LegendEntry],
) -> list[Section]:
    name, unit = result["metric"]["name"], result["metric"]["unit"]
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
                "One line per run, one point per epoch", len([r for r in records if not r.control]), MAX_LINES
            ),
            legend=legend,
        )
        sections.append(Section("Training curves", [block]))
    spread = spread_within_seeds(records, "test_loss")
    if gaps.losses and any(gap.seed is not None for gap in gaps.losses):
        grey = [LegendEntry("between seeds", NEUTRAL, "between seeds")] if gaps.losses[-1].seed is None else []
        width = gaps.losses[0].width
        binned = f" Each point is the root mean square over {width} steps." if width > 1 else ""
        left = f" {gaps.left_out} more twins are not drawn." if gaps.left_out else ""
        block = FigureBlock(
            name="twins",
            figure=twin_gaps(gaps.losses, spread, "|Δ training loss|", "SD of test loss", colours),
            height=560,
            describe="Difference in training loss between each perturbed run and its base over steps, logarithmic",
            caption="Above: the training loss of a perturbed run less that of its unperturbed twin, at every step; "
            "grey: the root mean square difference between two seeds. Below: the SD of the test loss over a seed's "
            f"perturbations, by epoch. Differences of exactly 0 are not drawn.{binned}{left}",
            legend=[*legend, *grey],
        )
        lead = (
            "Twins start equal but for the last bit. Where their difference rises to the grey line, the training has "
            "turned rounding into as much change as another seed."
        )
        sections.append(Section("When the last bit starts to matter", [block], lead))
    return sections


def _counted(text: str, count: int, most: int) -> str:
    return f"{text}; the first {most} of {count} runs." if count > most else f"{text}."


def _churn(result: Mapping[str, Any]) -> list[Section]:
    matrix = result["churn_matrix"]
    if matrix is None:
        return []
    seed_of = {run["run"]: (run["seed"], run["label"]) for run in result["runs"]}
    order = sorted(range(len(matrix["runs"])), key=lambda i: seed_of[matrix["runs"][i]][0])
    count, order = len(order), order[:_MATRIX_RUNS]
    values_RR = np.asarray(matrix["values"], dtype=float)[np.ix_(order, order)]
    names = [matrix["runs"][i] for i in order]
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
            count, _MATRIX_RUNS,
        ),
    )  # fmt: skip
    return [Section("Churn: which predictions change", [block])]


def _weights(
    result: Mapping[str, Any], gaps: Gaps, colours: Mapping[int, str], legend: Sequence[LegendEntry]
) -> list[Section]:
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


def _closing_sections(folder: StudyFolder, result: Mapping[str, Any]) -> list[Section]:
    settings = result["task"].get("settings", {})
    sections = [Section("Runs", [tables.runs_table(result)])]
    sections.append(Section("The exact command to repeat it", [Code(str(result["command"]))]))
    if settings:
        sections.append(Section("Task", [tables.settings_facts(settings)]))
    sections.append(Section("Environment", [tables.environment_facts(result)]))
    events = folder.events()
    if events:
        sections.append(Section("Events", [tables.events_table(events)]))
    return sections
