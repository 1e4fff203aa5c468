"""When the last bit of each format is of order one: what the page of a trace says of its horizons."""

from __future__ import annotations

from lastbit.dynamics.horizon import ORDER_ONE, Horizon
from lastbit.report.blocks import Column, Columns, Section, table_of
from lastbit.report.formatting import count, distance, plural, reason
from lastbit.studies.trace.twins_found import TwinsFound

__all__ = ["horizon_section"]


def horizon_section(found: TwinsFound) -> list[Section]:
    """Return the horizon of each format, nothing where none was looked at."""
    if not found.horizons:
        return []
    columns: Columns[Horizon] = {
        Column("last bit of"): lambda one: one.dtype,
        Column("of order one at step", True): _step,
        Column("95% interval", True): _interval,
        Column("twins", True): lambda one: f"{count(one.reached)} of {count(one.step.n)}",
        Column("because", quiet=True): lambda one: reason(one.step),
    }
    lead = (
        f"Of order one: a relative L2 distance of {distance(ORDER_ONE)}, where two runs have become two trainings. "
        f"These twins differ in the last bit of {found.dtype}; for other formats their distance is scaled by the unit "
        "roundoff, which is exact where growth does not depend on the size of a difference. Where units switch, it is "
        "too late for a coarser format and too early for a finer one."
    )
    return [Section("The horizon of the last bit", [table_of(found.horizons, columns)], lead, brief=True)]


def _step(one: Horizon) -> str:
    if one.step.estimate is not None:
        return count(one.step.estimate)
    return f"not within {plural(one.within, 'step')}" if one.kind == "not_within" else "not measured"


def _interval(one: Horizon) -> str:
    low, high = one.step.low, one.step.high
    return "" if low is None or high is None else f"{count(low)} – {count(high)}"
