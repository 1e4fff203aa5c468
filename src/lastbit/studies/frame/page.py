"""What the pages of all kinds of study have in common: the head, and the facts at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lastbit.report.blocks import Block, Code, Column, Facts, FigureBlock, Page, Row, Section, Sheet, Table, Tone
from lastbit.report.formatting import capitalised, plural
from lastbit.store import StudyFolder
from lastbit.studies.frame.damage import damage_section
from lastbit.studies.frame.result import Result, RunRow

__all__ = ["Kinds", "of_trainings", "points_of_each", "runs_sheet", "study_page"]

Kinds = Mapping[str, tuple[Tone, str]]
"""Tone and badge of each kind of verdict."""


def study_page(
    folder: StudyFolder,
    result: Result,
    *,
    title: str,
    subtitle: str,
    kinds: Kinds,
    sections: Sequence[Section],
) -> Page:
    """Return the page of a study: its own sections, then the command, the task, the environment and the events.

    Args:
        folder: the study, for its name and events.
        result: what it concluded, or says so far.
        title: what was studied.
        subtitle: of what size.
        kinds: tone and badge of each kind of verdict.
        sections: what the kind of study shows.
    """
    kind, name = result.verdict_kind, folder.path.resolve().name
    tone, badge = kinds.get(kind, ("attention", kind.replace("_", " ")))
    footer = f"Drawn by lastbit from the study {name}; every number is in its result.json."
    if not result.finished:
        failed = tone == "failure" and kind != "no_runs"
        tone, badge = "failure" if failed else "attention", "Incomplete" if result.damaged else "Unfinished"
        footer = f"Drawn by lastbit from the unfinished study {name}; lastbit report --json FILE writes every number."
    closing = [Section("The exact command to repeat it", [Code(result.command)])]
    if settings := result.task.get("settings"):
        closing.append(Section("Task", [_settings_facts(settings)]))
    closing.append(Section("Environment", [_environment_facts(result)]))
    if events := folder.events():
        closing.append(Section("Events", [_events_table(events)]))
    return Page(
        title=title,
        subtitle=subtitle,
        tone=tone,
        badge=badge,
        verdict=capitalised(result.verdict),
        advice=result.advice,
        sections=[*damage_section(folder, result.damaged), *sections, *closing],
        footer=footer,
        last_run=folder.last_finished,
    )


def of_trainings(each: Sequence[tuple[str, Sequence[Section]]]) -> list[Section]:
    """Return the sections of every training of a sweep, marked as its own: the page shows one training at a time.

    The short form of the page holds the first training alone, for a terminal has no choice.

    Args:
        each: the name of a training, and its sections.
    """
    found = []
    for number, (name, sections) in enumerate(each):
        for section in sections:
            blocks = [_renamed(block, number) for block in section.blocks]
            brief = section.brief and number == 0
            found.append(replace(section, blocks=blocks, brief=brief, half=False, training=name))
    return found


def points_of_each(trainings: int, most: int) -> int:
    """Return how many points a line may have where each of several trainings has its figures.

    `most` for one or two, for more so many fewer that the page does not grow with their number, a sixth at least.

    Example:
        >>> [points_of_each(n, 1200) for n in (1, 2, 3, 8, 100)]
        [1200, 1200, 800, 300, 200]
    """
    return max(most // 6, most * 2 // max(trainings, 2))


def _renamed(block: Block, number: int) -> Block:
    """Return the block with a name that no other training's has."""
    return replace(block, name=f"{block.name}-{number + 1}") if number and isinstance(block, FigureBlock) else block


def runs_sheet(runs: Sequence[RunRow]) -> Sheet:
    """Return every run for a spreadsheet: which it was, how it ended, what it took, its metrics at the end."""
    metrics = sorted({name for run in runs for name in run.metrics})
    header = ["run", "cell", "role", "twin", "label", "status", "message", "attempts", "seconds"]
    rows = [[*(getattr(run, name) for name in header), *(run.metrics.get(name) for name in metrics)] for run in runs]
    return Sheet("runs", [*header, *metrics], rows)


def _settings_facts(settings: Mapping[str, Any]) -> Facts:
    """Return the settings of the task."""
    return Facts([(str(name).replace("_", " "), _plain(value)) for name, value in settings.items()])


def _environment_facts(result: Result) -> Facts:
    """Return what the result may depend on besides its settings."""
    rows = [(str(name), _plain(value)) for name, value in result.environment.items()]
    if execution := result.execution:
        where = plural(execution["workers"], "process", "processes")
        where = "on Ray" if execution.get("executor") == "ray" else where
        how = f"{where} × {plural(execution['threads'], 'thread')}"
        rows.append(("execution", f"{how} ({execution['reason']})" if execution.get("reason") else how))
        if "memory_format" in execution:
            told = f"{execution['memory_format']} ({execution['memory_format_reason']})"
            rows.append(("memory format of the networks", told))
    return Facts(rows)


def _plain(value: Any) -> str:
    return {True: "yes", False: "no", None: "–"}[value] if value is None or isinstance(value, bool) else str(value)


def _events_table(events: Sequence[tuple[str, str | None, str, str]]) -> Table:
    """Return the log of what happened."""
    columns = (Column("time (UTC)"), Column("run"), Column("event"), Column("message", quiet=True))
    rows = [Row((at[:19].replace("T", " "), run or "", kind, message)) for at, run, kind, message in events[-200:]]
    caption = f"The last 200 of {len(events)} events." if len(events) > 200 else ""
    return Table(columns, rows, caption=caption)
