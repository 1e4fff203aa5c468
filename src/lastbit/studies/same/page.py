"""The page of a check of sameness: the answer, what differs, tensor by step in units of rounding, what was not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lastbit.launch.forced.table import Role
from lastbit.report.blocks import Block, Column, Columns, Facts, FigureBlock, Page, Prose, Section, Table, table_of
from lastbit.report.figures.units import unit_map
from lastbit.report.formatting import count, number, plural, seconds
from lastbit.stats.forced_flags import LIMITS
from lastbit.store import StudyFolder
from lastbit.studies.frame.page import Kinds, study_page
from lastbit.studies.same.evidence import Evidence
from lastbit.studies.same.findings import Finding
from lastbit.studies.same.judge import TensorRow
from lastbit.studies.same.result import FinalMetric, Ran, SameResult, evidence_of
from lastbit.studies.same.verdict import finding_words, step_words

__all__ = ["same_page"]

_KINDS: Kinds = {
    "bit_for_bit": ("pass", "Bit for bit"),
    "same_up_to_rounding": ("pass", "Same up to rounding"),
    "other_arithmetic": ("attention", "Another arithmetic"),
    "different": ("failure", "Different"),
    "undecided": ("attention", "Undecided"),
    "recorded": ("pass", "Recorded"),
    "not_reproducible": ("failure", "The reference does not repeat itself"),
    "no_runs": ("attention", "Nothing compared yet"),
}

_SHOWN = 8
"""Tensors in the short form of the page, those that differ most first."""

_ORDER = (Role.LOSS, Role.GRADIENT, Role.WEIGHT, Role.STATE, Role.BUFFER, Role.COPY)

_LIMITS: Mapping[str, float] = {
    "gradient": LIMITS.median,
    "buffer": LIMITS.median,
    "loss": LIMITS.loss,
    "weight": LIMITS.worst,
    "state": LIMITS.worst,
    "copy": LIMITS.worst,
}


def same_page(folder: StudyFolder, result: SameResult) -> Page:
    """Return the page of a check of sameness."""
    sections, evidence = [], evidence_of(folder)
    if result.by_nature:
        told = [f"{one.what} {one.cure}" for one in result.by_nature]
        sections.append(Section("Before it is called a defect", [Prose(told, bullets=True)]))
    if result.findings:
        sections.append(Section("What differs, in the order in which it came about", [_found(result)], brief=True))
    if result.tensors:
        most = sorted(result.tensors, key=_beyond, reverse=True)
        sections.append(Section("The tensors that differ most", [_tensors(most[:_SHOWN], _READ)], brief=True))
    if evidence is not None and len(evidence.steps):
        sections.append(Section("Units of rounding, tensor by step", [_map(evidence)], _MAP))
    if result.ran is not None:
        sections.append(Section("What was compared", [Facts(_compared(result, result.ran))], brief=True))
        if result.ran.metrics:
            sections.append(Section("What both end with", [_metrics(result.ran.metrics)], brief=True))
    if result.not_compared:
        unseen: list[Block] = [Prose(("What the answer does not speak of:",)), Prose(result.not_compared, bullets=True)]
        sections.append(Section("What was not compared", unseen, brief=True))
    if len(result.tensors) > _SHOWN:
        sections.append(Section("Every tensor", [_tensors(result.tensors)]))
    name = result.ran.reference if result.ran is not None else result.task["name"]
    return study_page(
        folder,
        result,
        title="The same training?",
        subtitle=f"reference: {name}" + (f"; candidate: {result.ran.candidate}" if result.ran is not None else ""),
        kinds=_KINDS,
        sections=sections,
    )


_READ = (
    "In units of rounding: how far the reference itself moves, tensor by tensor and step by step, when its weights "
    "move by half of their last bit. Of weights, states and copies it is the worst element, in its last bit and that "
    "of its change."
)

_MAP = "Blank where every bit agrees. Each step begins from the reference's weights: nothing adds up over steps."

_METRICS = (
    "No part of the answer: a defect may move a result by less than another seed does. The candidate's is computed by "
    "its own code from the reference's weights."
)


def _beyond(row: TensorRow) -> float:
    """Return how far a tensor is towards its limit."""
    if row.role in ("gradient", "buffer"):
        return (row.median or 0.0) / _LIMITS[row.role] / (LIMITS.noisy if row.noise else 1.0)
    return (row.worst or 0.0) / _LIMITS[row.role]


def _found(result: SameResult) -> Table:
    each: Columns[Finding] = {
        Column("when"): lambda one: step_words(one, result.steps),
        Column("what"): lambda one: finding_words(one.what),
        Column("where"): lambda one: one.tensor or "everywhere",
        Column("tensors", True): lambda one: count(len(one.tensors)) if one.tensors else "",
        Column("said", quiet=True): lambda one: one.said,
    }
    return table_of(result.findings, each, tone=lambda one: "failure")


def _tensors(rows: Sequence[TensorRow], caption: str = "") -> Table:
    each: Columns[TensorRow] = {
        Column("tensor"): lambda row: row.name,
        Column("what"): lambda row: row.role,
        Column("median", True): lambda row: number(row.median, 2),
        Column("most", True): lambda row: number(row.worst, 2),
        Column("in step", True): lambda row: count(row.worst_step) if row.worst else "",
        Column("limit", True): _limit,
        Column("leans by", True): lambda row: number(row.bias, 2) if row.unequal_steps else "",
        Column("steps not equal", True): lambda row: count(row.unequal_steps),
    }
    return table_of(rows, each, tone=lambda row: "failure" if row.flagged else None, caption=caption)


def _limit(row: TensorRow) -> str:
    limit = _LIMITS[row.role] * (LIMITS.noisy if row.noise else 1.0)
    which = "median" if row.role in ("gradient", "buffer") else "most"
    return f"{number(limit)} ({which})"


def _map(evidence: Evidence) -> FigureBlock:
    places = [place for role in _ORDER for place in evidence.columns(role)]
    names = [f"{evidence.tensors[place].role}: {evidence.tensors[place].name}" for place in places]
    return FigureBlock(
        name="units",
        figure=unit_map(evidence.steps, evidence.units[:, places], names, LIMITS.median),
        height=150 + 18 * min(len(places), 48),
        describe="By how many units of rounding each tensor differs at each step",
        caption=f"The colour turns at {number(LIMITS.median)} units, the limit of a gradient's median over the steps; "
        "single steps may lie above, where a unit such as a ReLU switches.",
    )


def _compared(result: SameResult, ran: Ran) -> list[tuple[str, str]]:
    roles = [str(role) for role in _ORDER]
    counts = {role: sum(row.role == role for row in result.tensors) for role in roles}
    several = {"loss": "losses", "copy": "copies"}
    kinds = [plural(found, role, several.get(role, "")) for role, found in counts.items() if found]
    rows = [
        ("Reference", ran.reference),
        ("Candidate", ran.candidate),
        ("Steps", count(result.steps)),
        ("Tensors", ", ".join(kinds)),
        ("Runs", f"{count(len(ran.runs))} ({', '.join(ran.runs)})"),
        ("Took", seconds(ran.seconds)),
    ]
    if result.staircase_ratio is not None:
        told = f"gradients move {number(result.staircase_ratio, 2)} times as far as the reference's"
        limit = f"from {number(LIMITS.staircase)} on it is another arithmetic"
        rows.append(("When weights move by 2^-18", f"{told}; {limit}"))
    return rows


def _metrics(metrics: tuple[FinalMetric, ...]) -> Table:
    each: Columns[FinalMetric] = {
        Column("number"): lambda one: one.name,
        Column("reference", True): lambda one: number(one.reference, 6),
        Column("candidate", True): lambda one: number(one.candidate, 6),
    }
    return table_of(metrics, each, caption=_METRICS)
