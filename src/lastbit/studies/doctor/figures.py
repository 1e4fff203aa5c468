"""The figures of an examination's report: how far the runs were equal, and how the difference came to the weights."""

from __future__ import annotations

from pathlib import Path

from lastbit.report.blocks import FigureBlock, LegendEntry, Mark
from lastbit.report.figures.runs import EQUAL, OTHER, SUSPECT, Box, Track, chain, timelines
from lastbit.report.formatting import count, plural
from lastbit.studies.doctor.findings import Finding, Followed, Outcome, ProcessOutcome
from lastbit.studies.doctor.verdict import at, operation_words

__all__ = ["chain_figure", "timeline_figure"]

_TRACKS = 16
"""Processes that are drawn at most."""

_BOXES = 12
"""Operations on the way that are drawn; of more, the first and the last."""

_NAMES = {
    "against the record": ("record", "this run"),
    "first runs against later": ("first two runs", "later two runs"),
}

_ENDS = {
    "values": "what is trained differs",
    "path": "another optimizer stepped than in the other run",
    "length": "one run went on where the other ended",
    "end": "what is trained differs after the last step",
    "alone": "the other run has no such process",
    "operations": "only results of operations differ",
}


def timeline_figure(outcome: Outcome, *, place: int) -> FigureBlock:
    """Return how far both runs of a comparison were equal, process by process."""
    drawn = outcome.processes[:_TRACKS]
    names = _NAMES.get(outcome.how, ("first run", "second run"))
    tracks = [_track(one, side, names[side], len(drawn) > 1) for one in drawn for side in (0, 1)]
    marks: list[tuple[str, str, str, Mark]] = [("equal in both runs", EQUAL, "equal", "fill")]
    if any(track.differs for track in tracks):
        marks.append(("first difference", OTHER, "differs", "diamond"))
    if any(track.suspects for track in tracks):
        marks.append(("operations differ, weights do not", SUSPECT, "suspect", "ring"))
    left = len(outcome.processes) - len(drawn)
    return FigureBlock(
        name=f"timelines-{place}",
        figure=timelines(tracks),
        height=90 + 44 * len(tracks),
        describe=f"How many optimizer steps both runs were equal, {outcome.how}",
        caption=f"{plural(left, 'more process', 'more processes')} not drawn." if left else "",
        legend=[LegendEntry(label, colour, group, mark) for label, colour, group, mark in marks],
    )


def _track(one: ProcessOutcome, side: int, run: str, several: bool) -> Track:
    last = one.last[side]
    ends = max(one.steps, last or 0) if one.difference else one.steps
    said = f"{plural(one.steps, 'equal step')}"
    if one.difference is not None:
        said += f", then {_ENDS[one.difference]}"
    elif one.waiting[side]:
        said += ", waiting for the other run"
    return Track(
        label=f"{one.key}, {run}" if several else run,
        equal=one.steps,
        ends=max(ends, one.steps + 1) if one.difference is not None and last != 0 else ends,
        differs=one.difference is not None and last is not None,
        said=said,
        suspects=one.suspects,
    )


def chain_figure(finding: Finding) -> FigureBlock:
    """Return the way from where the difference arose to what is trained."""
    boxes = [_root(finding)]
    path = [link for link in finding.path if (link.operation, link.line) != (finding.operation, finding.line)]
    if len(path) > _BOXES:
        left = len(path) - _BOXES
        half = _BOXES // 2
        more = Box(title="…", under=plural(left, "more operation"), hover="not drawn")
        boxes += [*map(_box, path[:half]), more, *map(_box, path[-half:])]
    else:
        boxes += map(_box, path)
    where = "after the last step" if finding.optimizer < 0 else f"step {count(finding.step)}"
    boxes.append(Box(title=finding.tensor or "what is trained", under=where, hover=f"differs in {where}"))
    return FigureBlock(
        name="chain",
        figure=chain(boxes),
        height=74 * len(boxes),
        max_width=620,
        describe=f"The way of the difference: {' → '.join(box.title for box in boxes)}",
        legend=[LegendEntry("where it arose", OTHER, mark="line")],
        text=[
            f"{'   ' if number else ''}{'→ ' if number else ''}{b.title} ({b.under})" for number, b in enumerate(boxes)
        ],
    )


def _root(finding: Finding) -> Box:
    name = finding.operation or operation_words(finding)
    place = at(finding.line)
    return Box(title=name, under=place or finding.root, hover=finding.said, root=True)


def _box(link: Followed) -> Box:
    shape = "×".join(map(str, link.shape)) or "one number"
    hashes = " and ".join(one or "unknown" for one in link.hashes)
    file = "" if link.line is None else f"{Path(link.line.path).name}:{link.line.number} {link.line.text.strip()[:60]}"
    return Box(title=link.operation, under=at(link.line) or shape, hover=f"{file} · {shape} · checksums {hashes}")
