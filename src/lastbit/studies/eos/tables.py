"""The tables of an edge-of-stability report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lastbit.report.blocks import Column, Row, Table
from lastbit.report.figures.eos_size import QUANTITIES
from lastbit.report.formatting import bound, decay_words, number, percent

__all__ = ["layer_table", "span", "sweep_table", "trend_table"]


def sweep_table(cells: Sequence[Mapping[str, Any]]) -> Table:
    """Return one row for each training of a sweep."""
    batches = any(cell["batch_sharpness"] is not None for cell in cells)
    columns = (
        Column("training"),
        Column("limit", True),
        Column("sharpness / limit", True),
        Column("95% interval", True),
        *((Column("batch sharpness / limit", True),) * batches),
        Column("entered", True),
        Column("growing", True),
        Column("growth above", True),
        Column("final loss", True),
        Column("status"),
    )
    rows = []
    for cell in cells:
        tail, grown = cell["ratio_tail"], cell["smallest"]["growing_fraction"]
        share = cell["growth_share_above_limit"]["estimate"]
        losses = [value for value in cell["loss"] if value is not None]
        cells_ = (
            cell["label"] or "base",
            number(cell["limit"]),
            number(tail["estimate"]),
            span(tail) if tail["low"] is not None else "",
            *((number((cell["batch_sharpness"] or {}).get("ratio_tail", {}).get("estimate")),) * batches),
            "never" if cell["entered_at_step"] is None else f"{cell['entered_at_step']:,}",
            "–" if grown is None else f"{percent(grown)} of looks",
            "–" if share is None else percent(share),
            number(losses[-1] if losses else None),
            cell["status"] if not cell["message"] else f"{cell['status']}: {cell['message']}",
        )
        rows.append(Row(cells_, None if cell["status"] == "ok" else "attention"))
    caption = "Growing: an eigenvalue of the data loss certified below −α, which weight decay cannot hold."
    return Table(columns, rows, caption=caption)


def trend_table(trends: Sequence[Mapping[str, Any]]) -> Table:
    """Return the exponents of what is followed over the sizes of a sweep."""
    columns = (
        Column("by size, quantity"),
        Column("exponent", True),
        Column("95% interval", True),
        Column("trend"),
        Column("rank correlation", True),
        Column("trainings", True),
        Column("left out", True),
        Column("seeds", True),
    )
    rows = []
    for trend in trends:
        exponent, kind = trend["exponent"], QUANTITIES[trend["quantity"]][0]
        low, high = number(exponent["low"], 2), number(exponent["high"], 2)
        quantity = kind if trend["quantity"] == "entered_at_step" else f"stable learning rate, {kind}"
        rows.append(
            Row(
                (
                    f"{trend['axis']}: {quantity}",
                    number(exponent["estimate"], 2),
                    "" if exponent["low"] is None else f"{low} to {high}",
                    trend["direction"],
                    number(trend["rank_correlation"], 2),
                    str(trend["trainings"]),
                    str(trend["left_out"]),
                    str(exponent["n"]),
                )
            )
        )
    return Table(columns, rows)


def layer_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return what each block of parameters can bear, moved alone."""
    columns = (
        Column("layer, moved alone"),
        Column("parameters", True),
        Column("sharpness", True),
        Column("limit", True),
        Column("ratio", True),
        Column("stable learning rate", True),
        Column("stable weight decay"),
        Column("note", quiet=True),
    )
    cells = [
        Row(
            (
                "the whole network" if row["name"] == "(whole)" else row["name"],
                f"{row['size']:,}",
                number(row["sharpness"]),
                number(row["limit"]),
                number(row["ratio"], 3),
                bound(row["max_lr"], missing="differs by group"),
                decay_words(row["decay_interval"]),
                "" if row["converged"] else "not converged",
            ),
            "attention" if row["ratio"] is not None and row["ratio"] > 1 else None,
        )
        for row in rows
    ]
    return Table(columns, cells)


def span(estimate: Mapping[str, Any]) -> str:
    """Return the interval of an estimate."""
    return f"{number(estimate['low'], 4)} – {number(estimate['high'], 4)}"
