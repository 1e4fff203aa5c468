"""The tables of an edge-of-stability study, each for the page and the terminal alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf

from lastbit.core.status import RunStatus
from lastbit.curvature import LayerStability, StableLearningRates
from lastbit.report.blocks import Column, Columns, Raw, Sheet, Table, Tone, estimate_table, sheet_of, table_of
from lastbit.report.formatting import (
    MISSING,
    RATIO,
    RATIO_DIGITS,
    bound,
    certified,
    count,
    decay_words,
    number,
    percent,
    show,
    step,
)
from lastbit.studies.eos.cell_result import EosCell
from lastbit.studies.eos.growth_share import GrowthSplit
from lastbit.studies.eos.size_trend import QUANTITIES, SizeTrend

__all__ = [
    "GROWTH_SHARE",
    "end_table",
    "growth_table",
    "layer_table",
    "stable_rate",
    "stable_table",
    "sweep_table",
    "trend_table",
]

GROWTH_SHARE = "growth above the limit"
"""What the share of a last-bit difference's growth is called that falls where the limit is exceeded."""


def _share(row: LayerStability, value: float) -> float | None:
    """Return how certain a value is that is proportional to the sharpness, or to its reciprocal."""
    if row.sharpness_within is None or row.sharpness == 0:
        return row.sharpness_within
    return abs(value * row.sharpness_within / row.sharpness)


def stable_rate(row: LayerStability) -> str:
    """Return the largest stable learning rate, to the digits that are certain."""
    if row.max_lr is None or not 0 < row.max_lr < inf:
        return bound(row.max_lr, missing="differs by group")
    return certified(row.max_lr, _share(row, row.max_lr))


def _decays(row: LayerStability) -> str:
    """Return the stable weight decays."""
    if row.decay_interval is None or row.decay_interval[0] is not None:
        return decay_words(row.decay_interval)
    high = row.decay_interval[1]
    return "none" if high < 0 else f"lower end not resolved, upper {bound(high)}"


_BEARS: Columns[LayerStability] = {
    Column("stable learning rate", True): stable_rate,
    Column("stable weight decay"): _decays,
}


def _named(cell: EosCell) -> str:
    return cell.label or "base"


def _tone(cell: EosCell) -> Tone | None:
    return None if cell.status == RunStatus.OK else "attention"


def sweep_table(cells: Sequence[EosCell]) -> Table:
    """Return where each training stood against its limit; what none of them has, has no column."""

    def ratio(cell: EosCell) -> str:
        return show(cell.ratio_tail, digits=RATIO_DIGITS).value if cell.status == RunStatus.OK else cell.status

    def batch_ratio(cell: EosCell) -> str:
        return show(cell.batch_sharpness.ratio_tail, digits=RATIO_DIGITS).value if cell.batch_sharpness else ""

    def share(cell: EosCell) -> str:
        shown = show(cell.growth_share_above_limit, "%")
        return shown.value if shown.measured else ""

    def steps_above(cell: EosCell) -> str:
        return percent(cell.growth.share_of_steps_above_limit, missing="") if cell.growth else ""

    columns: Columns[EosCell] = {
        Column("training"): _named,
        Column("limit", True): lambda cell: number(cell.limit),
        Column(RATIO, True): ratio,
        Column("95% interval", True): lambda cell: show(cell.ratio_tail, digits=RATIO_DIGITS).interval,
        Column("batch sharpness / limit", True): batch_ratio,
        Column("edge entered", True): lambda cell: step(cell.entered_at_step),
        Column("stable learning rate: first", True): lambda cell: bound(cell.stable_lr.first, 3, MISSING),
        Column("last third", True): lambda cell: bound(cell.stable_lr.tail, 3, MISSING),
        Column(GROWTH_SHARE, True): share,
        Column("steps above the limit", True): steps_above,
    }
    return replace(table_of(cells, columns, tone=_tone).filled, sheet=_sheet(cells))


def _sheet(cells: Sequence[EosCell]) -> Sheet:
    """Return the numbers of every training, with what is varied."""
    axes = [axis for axis in cells[0].axes if any(cell.axes[axis] is not None for cell in cells)]

    def varied(axis: str) -> Callable[[EosCell], Raw]:
        return lambda cell: cell.axes[axis]

    columns: Mapping[str, Callable[[EosCell], Raw]] = {
        "training": _named,
        "seed": lambda cell: cell.seed,
        **{axis: varied(axis) for axis in axes},
        "status": lambda cell: cell.status,
        "message": lambda cell: cell.message,
        "limit": lambda cell: cell.limit,
        "ratio": lambda cell: cell.ratio_tail.estimate,
        "ratio_low": lambda cell: cell.ratio_tail.low,
        "ratio_high": lambda cell: cell.ratio_tail.high,
        "entered_at_step": lambda cell: cell.entered_at_step,
        "stable_lr_first": lambda cell: cell.stable_lr.first,
        "stable_lr_lowest": lambda cell: cell.stable_lr.lowest,
        "stable_lr_tail": lambda cell: cell.stable_lr.tail,
        "growth_share_above_limit": lambda cell: cell.growth_share_above_limit.estimate,
    }
    return sheet_of("trainings", cells, columns)


def end_table(cells: Sequence[EosCell]) -> Table:
    """Return how each training ended."""
    columns: Columns[EosCell] = {
        Column("training"): _named,
        Column("final loss", True): lambda cell: number(next((x for x in reversed(cell.loss) if x is not None), None)),
        Column("looks that grow", True): lambda cell: percent(cell.smallest.growing_fraction),
        Column("status"): lambda cell: cell.status,
        Column("message", quiet=True): lambda cell: cell.message,
    }
    caption = "A look grows: an eigenvalue of the data loss is certified below −α, which weight decay cannot hold."
    return table_of(cells, columns, tone=_tone, caption=caption).filled


def trend_table(trends: Sequence[SizeTrend]) -> Table:
    """Return the exponents of what is followed over the sizes of a sweep."""
    columns: Columns[SizeTrend] = {
        Column("by size"): lambda trend: f"{trend.axis}: {QUANTITIES[trend.quantity]}",
        Column("exponent", True): lambda trend: show(trend.exponent).value,
        Column("95% interval", True): lambda trend: show(trend.exponent).interval,
        Column("trend"): lambda trend: trend.direction,
        Column("rank correlation", True): lambda trend: number(trend.rank_correlation, 2),
        Column("trainings", True): lambda trend: count(trend.trainings),
        Column("left out", True): lambda trend: count(trend.left_out),
        Column("seeds", True): lambda trend: str(trend.exponent.n),
    }
    return table_of(trends, columns)


def layer_table(rows: Sequence[LayerStability]) -> Table:
    """Return what each block of parameters can bear, moved alone."""
    columns: Columns[LayerStability] = {
        Column("layer, moved alone"): lambda row: "the whole network" if row.name == "(whole)" else row.name,
        Column("parameters", True): lambda row: count(row.size),
        Column("sharpness", True): lambda row: certified(row.sharpness, row.sharpness_within),
        Column("limit", True): lambda row: number(row.limit),
        Column(RATIO, True): lambda row: certified(row.ratio, _share(row, row.ratio), RATIO_DIGITS),
        **_BEARS,
        Column("note", quiet=True): lambda row: "" if row.converged else "not converged",
    }
    return table_of(rows, columns, tone=lambda row: "attention" if row.ratio > 1 else None).filled


def stable_table(tables: Mapping[int, StableLearningRates]) -> Table:
    """Return what the whole network could bear at each look."""
    rows = [replace(found.whole, name=count(at)) for at, found in sorted(tables.items())]
    columns: Columns[LayerStability] = {
        Column("step", True): lambda row: row.name,
        Column("sharpness", True): lambda row: certified(row.sharpness, row.sharpness_within),
        Column("limit", True): lambda row: number(row.limit),
        **_BEARS,
    }
    return table_of(rows, columns)


def growth_table(growth: GrowthSplit) -> Table:
    """Return where the twins' difference grew."""
    unit = "nats per step"
    rows = (
        (GROWTH_SHARE, show(growth.share_above_limit, "%")),
        ("mean growth above the limit", show(growth.rate_above_limit, unit)),
        ("mean growth below the limit", show(growth.rate_below_limit, unit)),
    )
    return estimate_table(rows)
