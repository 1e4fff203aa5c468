"""The page of a session, and of a decision in it: the answer first, the session as a timeline, every candidate."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from lastbit.report.blocks import (
    Block,
    Code,
    Column,
    Columns,
    Facts,
    FigureBlock,
    LegendEntry,
    Mark,
    Page,
    Section,
    Table,
    Tone,
    sheet_of,
    table_of,
)
from lastbit.report.figures.session import COLOURS, BaselineSpan, CandidateMark, session_timeline
from lastbit.report.figures.style import NEUTRAL, SEED
from lastbit.report.formatting import capitalised, count, number, p_value, percent, seconds
from lastbit.studies.frame.result import Verdict
from lastbit.studies.gate.result import BaselineRow, CandidateRow, SessionRow
from lastbit.studies.gate.verdict import alpha_left, reason_of, short_reason_of, shorter, told

__all__ = ["gate_page"]

_TONES: dict[str, tuple[Tone, str]] = {
    "keep": ("pass", "Keep"),
    "discard": ("attention", "Discard"),
    "undecided": ("attention", "Undecided"),
    "session": ("pass", "Session"),
}

_MARKS: list[tuple[str, str, Mark]] = [
    ("kept", "keep", "diamond"),
    ("discarded", "discard", "point"),
    ("undecided", "undecided", "ring"),
    ("being compared", "open", "point"),
]

_HOVER = 70
"""Characters of a line in a hover."""


def gate_page(session: SessionRow, said: Verdict, command: str, candidate: int | None = None) -> Page:
    """Return the page.

    Args:
        session: as it stands.
        said: what stands first.
        command: that asks again.
        candidate: the one that was decided; None of the session alone.
    """
    tone, badge = _TONES[said.kind]
    sections = []
    if session.candidates:
        sections.append(Section("The session, candidate by candidate", [_timeline(session)]))
    if candidate is not None and (numbers := _numbers(session, session.of(candidate))):
        sections.append(Section("What decided", [Facts(numbers)]))
    sections.append(Section("The session", [Facts(_session(session))], brief=candidate is None))
    if session.candidates:
        sections.append(Section("The candidates", [_candidates(session)], brief=candidate is None))
    sections.append(Section("The baselines", [_baselines(session)]))
    sections.append(Section("The exact command to repeat it", [Code(command)]))
    return Page(
        title=f"Session of candidates in {session.metric}" if session.metric else "Session of candidates",
        subtitle=f"against {shorter(session.baseline)}",
        tone=tone,
        badge=badge,
        verdict=capitalised(said.sentence),
        advice=said.advice,
        sections=sections,
        footer=f"Drawn by lastbit from the ledger in {session.folder}.",
    )


def _session(session: SessionRow) -> list[tuple[str, str]]:
    present = session.baselines[-1]
    who = f"candidate {present.candidate}, " if present.candidate is not None else ""
    rows = [
        ("Ledger", session.folder),
        ("Baseline now", f"{who}{present.text}"),
        ("Candidates", f"{count(session.counted)} of {count(session.declared)} declared"),
        ("Kept", count(session.keeps)),
        ("α left", alpha_left(session)),
        ("False keeps among the keeps, at most, in expectation", percent(session.promised)),
        ("Runs spent", count(session.runs_spent) + (f" of {count(session.budget)}" if session.budget else "")),
    ]
    if who:
        rows.insert(1, ("First baseline", session.baseline))
    return rows


def _candidates(session: SessionRow) -> Table:
    each: Columns[CandidateRow] = {
        Column("no.", True): lambda one: count(one.candidate),
        Column("candidate"): lambda one: told(session, one),
        Column("decision"): lambda one: one.choice,
        Column("runs", True): lambda one: count(one.runs),
        Column("better by", True): lambda one: _number(session, one, "difference"),
        Column("z", True): lambda one: _number(session, one, "z"),
        Column("p", True): lambda one: p_value(one.comparison.p) if one.comparison else "–",
        Column("time", True): lambda one: seconds(one.seconds),
        Column("why", quiet=True): lambda one: short_reason_of(session, one),
    }
    sheet = sheet_of(
        "candidates",
        session.candidates,
        {
            "candidate": lambda one: float(one.candidate),
            "text": lambda one: one.text,
            "decision": lambda one: one.choice,
            "why": lambda one: one.why,
            "runs": lambda one: float(one.runs),
            "better by": lambda one: one.comparison.difference if one.comparison else None,
            "z": lambda one: one.comparison.z if one.comparison else None,
            "p": lambda one: one.comparison.p if one.comparison else None,
            "level": lambda one: one.comparison.level if one.comparison else None,
            "seconds": lambda one: one.seconds,
            "claimed at": lambda one: one.claimed_at,
            "decided at": lambda one: one.decided_at,
        },
    )
    table = table_of(session.candidates, each)
    return Table(table.columns, table.rows, sheet=sheet)


def _number(session: SessionRow, one: CandidateRow, name: str) -> str:
    if one.comparison is None:
        return "–"
    return number(getattr(one.comparison, name), 3, session.points if name == "difference" else "")


def _numbers(session: SessionRow, one: CandidateRow) -> list[tuple[str, str]]:
    seen, points = one.comparison, session.points
    if seen is None:
        return []
    rows = [
        ("Runs of the candidate, of the baseline", f"{count(seen.n)}, {count(seen.n_baseline)}"),
        ("Difference of the means, positive where the candidate is better", number(seen.difference, 3, points)),
        ("SD of a run, pooled over the baselines", number(seen.sigma, 3, points)),
        ("SD of the candidate's runs", number(seen.own_sigma, 3, points)),
        ("Difference over its standard error (z)", number(seen.z, 3)),
        ("p, one-sided", p_value(seen.p)),
        ("p that this look keeps at", number(seen.level, 2) if seen.level else "none: it keeps nothing"),
        ("α of this candidate", number(one.alpha, 2)),
    ]
    if seen.spread is not None:
        flag = ", flagged" if seen.flagged else ""
        rows.append(("Its variance over the baseline's", f"{number(seen.spread, 3)}{flag}"))
    return rows


def _baselines(session: SessionRow) -> Block:
    each: Columns[BaselineRow] = {
        Column("baseline"): lambda one: "first" if one.candidate is None else f"candidate {one.candidate}",
        Column("what"): lambda one: one.text,
        Column("since (UTC)"): lambda one: one.since[:19].replace("T", " "),
        Column("fresh runs", True): lambda one: count(len(one.values)),
        Column("lost", True): lambda one: count(one.lost),
        Column("mean", True): lambda one: number(one.mean, 4, session.unit),
        Column("SD of a run, pooled", True): lambda one: number(one.sigma, 3, session.points),
    }
    return table_of(session.baselines, each)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _timeline(session: SessionRow) -> FigureBlock:
    taken, marks = 0.0, []
    for one in session.candidates:
        taken += 1 / session.declared if one.counted else 0.0
        marks.append(
            CandidateMark(
                place=one.candidate,
                label=shorter(one.text),
                values=one.values,
                shown=_mean(one.values) if one.values else session.baselines[one.epoch].mean,
                lost=not one.values and one.choice != "open",
                choice=one.choice,
                said="\n".join(textwrap.wrap(f"{one.choice}: {reason_of(session, one)}", _HOVER)),
                at=(one.decided_at or one.claimed_at)[:19].replace("T", " "),
                alpha_left=max(1 - taken, 0.0),
            )
        )
    seen = {one.choice for one in session.candidates}
    legend = [LegendEntry(label, COLOURS[choice], choice, mark) for label, choice, mark in _MARKS if choice in seen]
    if any(one.lost for one in marks):
        legend.append(LegendEntry("without a result", NEUTRAL, "", "cross"))
    metric = session.metric or "result"
    return FigureBlock(
        name="session",
        figure=session_timeline(marks, _spans(session), metric, session.unit, percent(session.error_rate)),
        height=520,
        describe=f"{metric} of every candidate in the order of claims, with the baseline of its time; below, α left",
        caption="Small points are runs, marks their means; a candidate without a result is a cross on the baseline, "
        "and a new baseline is estimated by fresh runs.",
        legend=[
            LegendEntry("baseline, with one SD of a run", SEED, "baseline", "line"),
            *legend,
            LegendEntry("α left", NEUTRAL, "", "line"),
        ],
    )


def _spans(session: SessionRow) -> list[BaselineSpan]:
    """Return from where to where in the order each baseline was the present one."""
    last = max((one.candidate for one in session.candidates), default=1)
    starts = [0.5, *(one.candidate + 0.5 for one in session.baselines if one.candidate is not None)]
    ends = [*starts[1:], last + 0.5]
    return [
        BaselineSpan(
            label=shorter(one.text),
            start=start,
            end=max(end, start),
            mean=one.mean,
            sigma=one.sigma,
            runs=len(one.values),
        )
        for one, start, end in zip(session.baselines, starts, ends, strict=True)
    ]
