"""The page of measured claims: how many held, a row for each, and behind it figure, numbers, rule and command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from lastbit.core.words import capitalised
from lastbit.report.blocks import (
    Block,
    Code,
    Column,
    Columns,
    Facts,
    Page,
    Picture,
    Prose,
    Section,
    Table,
    Tone,
    estimate_table,
    table_of,
)
from lastbit.report.figures.printed import Drawing, data_url, printed
from lastbit.report.formatting import duration, number, seconds, setting, show
from lastbit.store.claim_folder import ClaimFolder
from lastbit.studies.frame.result import Verdict
from lastbit.studies.paper.claim import Number
from lastbit.studies.paper.result import JUDGED, ClaimRow, FormRow

__all__ = ["ClaimShown", "paper_page"]

_SHOWN = ("lastbit", "python", "torch", "numpy", "processor", "cores", "vector instructions", "device", "gpu", "cuda")
"""Facts of the environment that a reader may want."""

_TONES: Mapping[str, Tone] = {"held": "pass", "not_held": "attention", "undecided": "attention"}


class ClaimShown:
    """A judged claim with what it is shown by.

    Args:
        row: judged.
        drawings: its figures.
        tables: its tables.
    """

    def __init__(self, row: ClaimRow, drawings: Sequence[Drawing] = (), tables: Sequence[Table] = ()) -> None:
        self.row, self.drawings, self.tables = row, drawings, tables

    def keep_figures(self, folder: ClaimFolder) -> None:
        """Keep its figures as PNG and SVG in the folder of the claim.

        Raises:
            StorageError: the disk is full, or the place cannot be written.
        """
        for drawing in self.drawings:
            for form in ("png", "svg"):
                folder.keep_file(self.row.id, f"{drawing.name}.{form}", printed(drawing, form))


def paper_page(
    claims: Sequence[ClaimShown], said: Verdict, facts: Mapping[str, Any], *, pictures: str | None = None
) -> Page:
    """Return the page.

    Args:
        claims: in order.
        said: what stands first.
        facts: of the folder.
        pictures: folder of the figures' files, where the page is to be whole in Markdown; None where it is short.
    """
    rows = [one.row for one in claims]
    return Page(
        title=f"The published claims, measured at scale {facts['scale']}",
        subtitle="Sun, Lao, Yezzi, Sundaramoorthi: A PDE-based Explanation of Extreme Numerical Sensitivities and Edge "
        "of Stability in Training Neural Networks (JMLR 25(174), 2024)",
        tone=_TONES[said.kind],
        badge=JUDGED[said.kind],
        verdict=said.sentence,
        advice=said.advice,
        sections=[
            Section("The claims", [_table(rows)], brief=True),
            *(_section(one, pictures) for one in claims),
            Section("Where it was measured", [Facts(_environment(rows, facts))], brief=pictures is not None),
        ],
        footer="Drawn by lastbit from what was measured; every rule was written down before the run.",
    )


def _table(rows: Iterable[ClaimRow]) -> Table:
    each: Columns[ClaimRow] = {
        Column("claim"): lambda one: one.id,
        Column("says"): lambda one: one.title,
        Column("as published"): lambda one: JUDGED[one.verdict_kind],
        Column("as found here"): lambda one: JUDGED[one.found.verdict_kind] if one.found else "–",
        Column("because", quiet=True): lambda one: one.why,
    }
    return table_of(rows, each, tone=lambda one: _TONES.get(one.verdict_kind))


def _section(claim: ClaimShown, pictures: str | None) -> Section:
    row = claim.row
    blocks: list[Block] = [*_form("As published", row.published)]
    if row.found is not None:
        blocks += _form("As found here", row.found)
    for drawing in claim.drawings:
        file = "" if pictures is None else f"{pictures}/{row.id}-{drawing.name}.png"
        blocks.append(Picture(partial(data_url, drawing), drawing.describe, file))
        if drawing.caption:
            blocks.append(Prose([drawing.caption]))
    blocks += claim.tables
    if row.remarks:
        blocks.append(Prose(row.remarks, bullets=True))
    taken = [("Measured", row.measures), ("Publication", row.printed), ("Time", seconds(row.seconds))]
    blocks += [Facts(taken), Code(row.command)]
    return Section(
        f"{row.id}, {JUDGED[row.verdict_kind]}: {row.title}", blocks, brief=pictures is not None, folded=True
    )


def _form(title: str, form: FormRow) -> Iterable[Block]:
    said = f"{capitalised(JUDGED[form.verdict_kind])}: {form.why}."
    yield Prose([f"{title}: {form.says}", f"Rule: {form.rule}", said])
    if form.numbers:
        yield _numbers(form.numbers)


def _numbers(numbers: Sequence[Number]) -> Table:
    if all(one.reference is None for one in numbers):
        return estimate_table([(one.says, show(one.value, one.unit, 3)) for one in numbers])
    each: Columns[Number] = {
        Column("quantity"): lambda one: one.says,
        Column("estimate", True): lambda one: show(one.value, one.unit, 3).value,
        Column("interval", True): lambda one: show(one.value, one.unit, 3).interval,
        Column("n", True): lambda one: show(one.value, one.unit, 3).n,
        Column("reference", True): lambda one: number(one.reference, 4, one.unit),
        Column("its source", quiet=True): lambda one: one.source,
    }
    return table_of(numbers, each)


def _environment(claims: Iterable[ClaimRow], facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    there = facts["environment"]
    shown = {name: facts[name] for name in ("scale", "threads", "begun")}
    known = {**shown, **{name: there[name] for name in _SHOWN if name in there}}
    taken = duration(sum(one.seconds for one in claims))
    return [("time of all claims", taken), *((name, setting(value)) for name, value in known.items())]
