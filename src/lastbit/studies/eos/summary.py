"""An edge-of-stability result as text: the verdict, what to do, the trainings, the layers, the controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lastbit.report.formatting import bound, decay_words
from lastbit.studies.eos.size_trend import QUANTITIES

__all__ = ["layer_table", "render_eos"]


def render_eos(result: Mapping[str, Any]) -> RenderableType:
    """Return the summary for a rich console."""
    good = result["verdict_kind"] not in ("not_reproducible", "no_runs")
    verdict = str(result["verdict"])
    parts: list[RenderableType] = [
        Text(verdict[:1].upper() + verdict[1:], style="bold" if good else "bold red"),
        Text(result["advice"]),
    ]
    cells = result["cells"]
    if cells:
        parts += [Text(""), _cells_table(cells)]
    if result["trends"]:
        parts += [Text(""), _trends_table(result["trends"])]
    if len(cells) == 1 and any("sharpness" in row for row in cells[0]["per_layer"]):
        parts += [Text(""), layer_table(cells[0]["per_layer"])]
    lines = _control_lines(result)
    return Group(*parts, Text(""), *(Text(line) for line in lines))


def _cells_table(cells: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    batches = any(cell["batch_sharpness"] is not None for cell in cells)
    titles = (
        "training",
        "limit",
        "sharpness / limit",
        "95% interval",
        *(("batch sharpness / limit",) * batches),
        "entered",
        "stable lr: first, last third",
        "growth above",
        "of steps",
    )
    for title in titles:
        table.add_column(title, justify="left" if title == "training" else "right")
    for cell in cells:
        tail, share = cell["ratio_tail"], cell["growth_share_above_limit"]
        stable, batch = cell["stable_lr"], (cell["batch_sharpness"] or {}).get("ratio_tail", {})
        ratio = "diverged" if cell["status"] != "ok" else _number(tail["estimate"], "not measured")
        steps = (cell["growth"] or {}).get("share_of_steps_above_limit")
        table.add_row(
            cell["label"] or "base",
            _number(cell["limit"]),
            ratio,
            "" if tail["low"] is None else f"{tail['low']:.3g} – {tail['high']:.3g}",
            *((_number(batch.get("estimate")),) * batches),
            "never" if cell["entered_at_step"] is None else f"step {cell['entered_at_step']}",
            f"{_number(stable['first'], digits=3)}, {_number(stable['tail'], digits=3)}",
            "" if share["estimate"] is None else f"{share['estimate']:.0%}",
            "" if steps is None else f"{steps:.0%}",
        )
    return table


def _trends_table(trends: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("by size", "exponent", "95% interval", "trend", "ranks", "trainings", "seeds"):
        named = title in ("by size", "trend")
        table.add_column(title, justify="left" if named else "right", no_wrap=True)
    for trend in trends:
        exponent = trend["exponent"]
        table.add_row(
            f"{trend['axis']}: {QUANTITIES[trend['quantity']]}",
            _number(exponent["estimate"], "not measured", digits=2),
            "" if exponent["low"] is None else f"{exponent['low']:.2g} to {exponent['high']:.2g}",
            trend["direction"],
            _number(trend["rank_correlation"], digits=2),
            f"{trend['trainings']} of {trend['trainings'] + trend['left_out']}",
            str(exponent["n"]),
        )
    return table


def layer_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return what each layer could bear at the last look, moved alone."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("layer, moved alone", "parameters", "sharpness", "ratio", "stable lr", "stable weight decay"):
        table.add_column(title, justify="left" if title.startswith("layer") else "right")
    for row in rows:
        if "sharpness" not in row:
            continue
        mark = "" if row["converged"] else " (not converged)"
        table.add_row(
            row["name"],
            f"{row['size']:,}",
            _number(row["sharpness"]) + mark,
            _number(row["ratio"], digits=3),
            bound(row["max_lr"], missing="differs by group"),
            decay_words(row["decay_interval"]),
        )
    return table


def _control_lines(result: Mapping[str, Any]) -> list[str]:
    controls = [cell["control"] for cell in result["cells"] if cell["control"] is not None]
    lines = []
    if controls:
        same = sum(control["bitwise_identical"] for control in controls)
        mark = "passed" if same == len(controls) else "FAILED"
        lines.append(
            f"control {mark}: {same} of {len(controls)} exact repeats match bit for bit at every measured step"
        )
        landed, twins = (sum(control[name] for control in controls) for name in ("twins_landed", "twins"))
        lines.append(f"perturbation landed in {landed} of {twins} twins")
    fractions = [cell["converged_fraction"] for cell in result["cells"] if cell["converged_fraction"] is not None]
    if fractions:
        lines.append(f"eigenvalues certified by their residual in {min(fractions):.0%} of the measurements, at worst")
    lines += [
        f"{cell['label'] or 'base'} {cell['status']}: {cell['message']}"
        for cell in result["cells"]
        if cell["status"] != "ok"
    ]
    return lines


def _number(value: float | None, missing: str = "–", digits: int = 4) -> str:
    return missing if value is None else f"{value:.{digits}g}"
