"""The page of an examination: the answer in its order, the runs, the way of the difference, the line in its source."""

from __future__ import annotations

from lastbit.report.blocks import Block, Code, Column, Columns, Facts, Page, Prose, Section, table_of
from lastbit.report.formatting import count, plural, seconds, size
from lastbit.store import StudyFolder
from lastbit.studies.doctor.figures import chain_figure, timeline_figure
from lastbit.studies.doctor.findings import Evidence, Finding, Outcome, SourceLine, Tried
from lastbit.studies.doctor.result import DoctorResult
from lastbit.studies.doctor.verdict import confirmed_words
from lastbit.studies.frame.page import Kinds, study_page

__all__ = ["doctor_page"]

_KINDS: Kinds = {
    "identical": ("pass", "Identical"),
    "recorded": ("pass", "Recorded"),
    "outputs_differ": ("attention", "Equal weights, other output"),
    "returned_differs": ("failure", "Equal weights, other result"),
    "exits_differ": ("failure", "Equal weights, other end"),
    "differs": ("failure", "The runs differ"),
    "timed_out": ("attention", "Not decided"),
    "no_runs": ("attention", "Nothing compared yet"),
}


def doctor_page(folder: StudyFolder, result: DoctorResult) -> Page:
    """Return the page of an examination."""
    finding, sections = result.finding, []
    if result.lines:
        sections.append(Section("Where and why they differ", [Facts(result.lines)], brief=True))
    if len(result.tried) > 1:
        sections.append(_tried(result.tried))
    if finding is not None and finding.unseen:
        sections.append(Section("What could not be seen", [Prose(finding.unseen, bullets=True)], brief=True))
    if result.outcomes:
        sections.append(_compared(result))
    for place, outcome in enumerate(result.outcomes):
        if outcome.processes and (outcome is result.outcomes[-1] or not outcome.equal):
            sections.append(Section(f"The two runs, {outcome.how}", [timeline_figure(outcome, place=place)]))
    if finding is not None:
        sections += _way(finding)
    sections += [_stacks(one) for one in result.outcomes if any(one.stacks)]
    return study_page(
        folder,
        result,
        title=f"Two runs of {result.program}",
        subtitle="the same program, the same seed",
        kinds=_KINDS,
        sections=sections,
    )


def _tried(tried: tuple[Tried, ...]) -> Section:
    columns: Columns[Tried] = {
        Column("cause"): lambda one: one.cause_said,
        Column("change"): lambda one: one.confirmation.said,
        Column("cures it"): lambda one: confirmed_words(one.confirmation),
    }
    return Section("What was tried", [table_of(tried, columns)])


def _compared(result: DoctorResult) -> Section:
    columns: Columns[Outcome] = {
        Column("comparison"): lambda one: one.how,
        Column("equal steps", True): lambda one: count(one.steps),
        Column("steps taken", True): lambda one: count(max(one.taken, one.steps)),
        Column("tensors", True): lambda one: count(one.tensors),
        Column("compared", True): lambda one: size(one.bytes),
        Column("took", True): lambda one: seconds(one.seconds),
        Column("answer"): _answer,
    }
    blocks: list[Block] = [table_of(result.outcomes, columns)]
    held = [(name, value) for name, value in result.settings.items() if value]
    if held:
        lead = "What the answer holds under"
        if result.changed:
            blocks.append(
                Facts([(name, f"{a or '–'} there, {b or '–'} here") for name, (a, b) in result.changed.items()])
            )
        blocks += [Prose((f"{lead}:",)), Facts(held)]
    for outcome in result.outcomes:
        for one in outcome.printed:
            said = f"What they {'print' if one.what == 'printed' else 'return'} differs, {outcome.how}, in"
            blocks.append(Prose((f"{said} {plural(one.lines, 'line')}, first in line {count(one.line)}:",)))
            blocks.append(Code(f"{one.first}\n{one.second}"))
    return Section("What was compared", blocks, brief=True)


def _answer(one: Outcome) -> str:
    if not one.equal:
        return "differ"
    return "time ran out" if one.timed_out else "–" if one.how == "recorded" else "equal"


def _way(finding: Finding) -> list[Section]:
    found = [Section("How the difference came to what is trained", [chain_figure(finding)], lead=finding.said)]
    lines = {(line.path, line.number): line for line in (finding.line, finding.cause_line) if line is not None}
    found += [Section(f"Line {count(line.number)} of {line.path}", [Code(_shown(line))]) for line in lines.values()]
    if finding.evidence:
        columns: Columns[Evidence] = {
            Column("what"): lambda one: one.kind,
            Column("where"): lambda one: one.where,
            Column("times", True): lambda one: count(one.count),
            Column("said"): lambda one: one.said,
        }
        lead = "What the runs met otherwise than each other: evidence, and no verdict."
        found.append(Section("Evidence", [table_of(finding.evidence, columns)], lead=lead))
    return found


def _shown(line: SourceLine) -> str:
    """Return the lines around, the one that counts marked."""
    around = line.around or (line.text,)
    first = line.first if line.around else line.number
    width = len(str(first + len(around)))
    return "\n".join(
        f"{'→' if number == line.number else ' '} {str(number).rjust(width)}  {text}"
        for number, text in enumerate(around, first)
    )


def _stacks(outcome: Outcome) -> Section:
    blocks: list[Block] = []
    for name, text in zip(("first run", "second run"), outcome.stacks, strict=True):
        if text:
            blocks += [Prose((f"The {name}:",)), Code(text)]
    return Section("Where the threads stood when the time ran out", blocks)
