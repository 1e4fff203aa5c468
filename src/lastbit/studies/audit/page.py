"""The report of an audit: which sections, tables and figures, in which order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lastbit.report.blocks import Block, Cards, LegendEntry, Page, Prose, Section, Tone
from lastbit.report.figures.style import seed_colours
from lastbit.store import StudyFolder
from lastbit.studies.audit import figures, tables
from lastbit.studies.audit.gaps import read_gaps
from lastbit.studies.frame.page import study_page

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
    silent = kind in tables.SILENT_KINDS
    sections = _silent_sections(result) if silent else _spread_sections(folder, result)
    return study_page(
        folder,
        result,
        title=f"Audit of {result['task']['name']}",
        subtitle=_subtitle(result),
        verdict=str(result["verdict"]),
        kinds=_KINDS,
        sections=[*sections, Section("Runs", [tables.runs_table(result)])],
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
    seeds = [record.cell for record in records]
    colours = seed_colours(seeds)
    legend = [LegendEntry(f"seed {seed}", colour, f"seed {seed}") for seed, colour in colours.items()]
    # A legend of dozens of shades helps nobody: the hover names the run.
    legend = legend if len(legend) <= 16 else []
    sections = [
        Section("The numbers", [Cards(tables.cards(result))]),
        Section("How to read this", [tables.how_to_read(result)], half=True),
        Section(
            "Controls",
            [tables.control_facts(result)],
            "Before any spread: does a repeat repeat, does the noise land?",
            half=True,
        ),
        figures.results_section(result, colours, legend),
        figures.variance_section(result),
        *figures.curves_sections(result, records, gaps, colours, legend),
        *figures.churn_sections(result),
        *figures.weights_sections(result, gaps, colours, legend),
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
