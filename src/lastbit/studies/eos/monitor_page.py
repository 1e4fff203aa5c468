"""What a live monitor shows of itself: its last measurements."""

from __future__ import annotations

from lastbit.core.status import RunStatus
from lastbit.curvature import StabilityMonitor, StabilityRecord
from lastbit.report.blocks import Column, Columns, Page, Section, Tone, table_of
from lastbit.report.formatting import RATIO, count, number, percent, plural

__all__ = ["monitor_page"]

_SHOWN = 12
"""Measurements that are listed, the last ones."""

_COLUMNS: Columns[StabilityRecord] = {
    Column("step", True): lambda record: count(record.step),
    Column("loss", True): lambda record: number(record.loss),
    Column("sharpness", True): lambda record: number(record.sharpness),
    Column("limit", True): lambda record: number(record.limit),
    Column(RATIO, True): lambda record: number(record.ratio),
    Column("status"): lambda record: str(record.status) if record.status != RunStatus.OK else "",
}


def monitor_page(monitor: StabilityMonitor) -> Page:
    """Return the page of a monitor: where the training stands, and the last measurements."""
    last, taken = monitor.latest, plural(monitor.count, "step")
    if last is None:
        tone: Tone = "attention"
        said, badge = f"Nothing is measured yet, after {taken}.", "waiting"
    elif last.status != RunStatus.OK:
        tone, said, badge = "failure", f"Weights or loss are not finite at step {count(last.step)}.", str(last.status)
    else:
        tone, badge = ("attention", "past the edge") if last.ratio > 1 else ("pass", "inside the edge")
        said = f"At step {count(last.step)} the learning rate is {number(last.ratio)} times the largest stable one."
    left = len(monitor.records) - _SHOWN
    rows = table_of(monitor.records[-_SHOWN:], _COLUMNS, caption=f"{count(left)} earlier" if left > 0 else "")
    return Page(
        title="lastbit StabilityMonitor",
        subtitle=type(monitor.model).__name__,
        tone=tone,
        badge=badge,
        verdict=said,
        advice=f"{plural(len(monitor.records), 'measurement')} in {taken}, {percent(monitor.share)} of the training's "
        "time.",
        sections=[Section("The last measurements", [rows] if monitor.records else [], brief=True)],
    )
