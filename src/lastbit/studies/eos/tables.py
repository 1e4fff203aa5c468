"""The tables of an edge-of-stability study, each for the page and the terminal alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lastbit.core.status import RunStatus
from lastbit.curvature import LayerStability, StableLearningRates
from lastbit.report.blocks import Column, Row, Table, Tone
from lastbit.report.formatting import bound, count, decay_words, number, percent, show, step
from lastbit.studies.eos.cell_result import EosCell, LayerCourse
from lastbit.studies.eos.size_trend import QUANTITIES, SizeTrend
from lastbit.studies.eos.verdict import RATIO_DIGITS

__all__ = ["GROWTH_SHARE", "end_table", "growth_table", "layer_table", "stable_table", "sweep_table", "trend_table"]

GROWTH_SHARE = "growth above the limit"
"""What the share of a last-bit difference's growth is called that falls where the limit is exceeded."""

_DIFFERS = "differs by group"


def sweep_table(cells: Sequence[EosCell]) -> Table:
    """Return where each training stood against its limit; what none of them has, has no column."""
    columns = (
        Column("training"),
        Column("limit", True),
        Column("sharpness / limit", True),
        Column("95% interval", True),
        Column("batch sharpness / limit", True),
        Column("edge entered", True),
        Column("stable learning rate: first", True),
        Column("last third", True),
        Column(GROWTH_SHARE, True),
        Column("steps above the limit", True),
    )
    return _filled(columns, [Row(_against_limit(cell), _tone(cell)) for cell in cells])


def end_table(cells: Sequence[EosCell]) -> Table:
    """Return how each training ended."""
    columns = (
        Column("training"),
        Column("final loss", True),
        Column("looks that grow", True),
        Column("status"),
        Column("message", quiet=True),
    )
    rows = []
    for cell in cells:
        losses = [value for value in cell.loss if value is not None]
        loss, grown = number(losses[-1] if losses else None), percent(cell.smallest.growing_fraction)
        rows.append(Row((_named(cell), loss, grown, cell.status, cell.message), _tone(cell)))
    caption = "A look grows: an eigenvalue of the data loss is certified below −α, which weight decay cannot hold."
    return replace(_filled(columns, rows), caption=caption)


def _against_limit(cell: EosCell) -> tuple[str, ...]:
    ratio, batch = show(cell.ratio_tail, digits=RATIO_DIGITS), cell.batch_sharpness
    share, growth = show(cell.growth_share_above_limit, "%", 100), cell.growth
    return (
        _named(cell),
        number(cell.limit),
        ratio.value if cell.status == RunStatus.OK else cell.status,
        ratio.interval,
        show(batch.ratio_tail, digits=RATIO_DIGITS).value if batch is not None else "",
        step(cell.entered_at_step),
        number(cell.stable_lr.first, 3),
        number(cell.stable_lr.tail, 3),
        share.value if share.measured else "",
        percent(growth.share_of_steps_above_limit, missing="") if growth is not None else "",
    )


def _named(cell: EosCell) -> str:
    return cell.label or "base"


def _tone(cell: EosCell) -> Tone | None:
    return None if cell.status == RunStatus.OK else "attention"


def _filled(columns: Sequence[Column], rows: Sequence[Row]) -> Table:
    """Return the table without the columns that no row fills."""
    filled = [i for i in range(len(columns)) if any(row.cells[i] for row in rows)]
    return Table([columns[i] for i in filled], [Row([row.cells[i] for i in filled], row.tone) for row in rows])


def trend_table(trends: Sequence[SizeTrend]) -> Table:
    """Return the exponents of what is followed over the sizes of a sweep."""
    columns = (
        Column("by size"),
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
        exponent = show(trend.exponent)
        cells = (
            f"{trend.axis}: {QUANTITIES[trend.quantity]}",
            exponent.value,
            exponent.interval,
            trend.direction,
            number(trend.rank_correlation, 2),
            count(trend.trainings),
            count(trend.left_out),
            exponent.n,
        )
        rows.append(Row(cells))
    return Table(columns, rows)


def layer_table(rows: Sequence[LayerStability | LayerCourse]) -> Table:
    """Return what each block of parameters can bear, moved alone."""
    columns = (
        Column("layer, moved alone"),
        Column("parameters", True),
        Column("sharpness", True),
        Column("limit", True),
        Column("sharpness / limit", True),
        Column("stable learning rate", True),
        Column("stable weight decay"),
        Column("note", quiet=True),
    )
    cells = [
        Row(
            (
                "the whole network" if row.name == "(whole)" else row.name,
                count(row.size),
                number(row.sharpness),
                number(row.limit),
                number(row.ratio, RATIO_DIGITS),
                bound(row.max_lr, missing=_DIFFERS),
                decay_words(row.decay_interval),
                "" if row.converged else "not converged",
            ),
            "attention" if row.ratio is not None and row.ratio > 1 else None,
        )
        for row in rows
    ]
    return _filled(columns, cells)


def stable_table(tables: Mapping[int, StableLearningRates]) -> Table:
    """Return what the whole network could bear at each look."""
    columns = (
        Column("step", True),
        Column("sharpness", True),
        Column("limit", True),
        Column("stable learning rate", True),
        Column("stable weight decay"),
    )
    rows = [
        Row(
            (
                count(at),
                number(found.whole.sharpness),
                number(found.whole.limit),
                bound(found.whole.max_lr, missing=_DIFFERS),
                decay_words(found.whole.decay_interval),
            )
        )
        for at, found in sorted(tables.items())
    ]
    return Table(columns, rows)


def growth_table(cell: EosCell) -> Table:
    """Return where the twins' difference grew."""
    columns = (
        Column("quantity"),
        Column("estimate", True),
        Column("95% interval", True),
        Column("n", True),
        Column("note", quiet=True),
    )
    rows = []
    if cell.growth is not None:
        for title, estimate, unit, scale in (
            (GROWTH_SHARE, cell.growth.share_above_limit, "%", 100.0),
            ("mean growth above the limit", cell.growth.rate_above_limit, "nats per step", 1.0),
            ("mean growth below the limit", cell.growth.rate_below_limit, "nats per step", 1.0),
        ):
            shown = show(estimate, unit, scale)
            rows.append(Row((title, shown.value, shown.interval, shown.n, shown.note)))
    return Table(columns, rows)
