"""A trace's result as text: the verdict, what to do, the tensors that amplified most, the episodes, the controls."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["render_trace"]

_EPISODES_SHOWN = 6


def render_trace(result: dict[str, Any]) -> RenderableType:
    """Return the summary for a rich console."""
    good = result["verdict_kind"] not in ("not_reproducible", "not_landed", "no_runs")
    text = result["sentence"]
    parts: list[RenderableType] = [
        Text(text[:1].upper() + text[1:], style="bold" if good else "bold red"),
        Text(result["advice"]),
    ]
    if len(result["members"]) > 1:
        parts += [Text(""), _sweep_table(result["members"])]
    if good:
        if result["tensors"] and result["most_amplifying"]:
            parts += [Text(""), _tensor_table(result)]
        parts += [Text(""), *(Text(line) for line in _episode_lines(result))]
        parts += [Text(line) for line in _rate_lines(result)]
    if result["members"]:
        parts += [Text(""), *(Text(line) for line in _control_lines(result))]
    return Group(*parts)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if not index else "right", overflow="fold")
    return table


def _tensor_table(result: dict[str, Any]) -> Table:
    """Return the five tensors that took the largest part in the growth."""
    table = _table("most amplifying tensors", "share of growth", "relative L2 at the end", "largest ulp distance")
    rows = {row["tensor"]: row for row in result["tensors"]}
    for name in result["most_amplifying"][:5]:
        row = rows[name]
        share = f"{100 * row['growth_share']:.0f}%" if row["growth_share"] is not None else "–"
        table.add_row(name, share, _scientific(row["relative_l2"]), f"{row['max_ulp']:,}")
    return table


def _sweep_table(members: list[dict[str, Any]]) -> Table:
    table = _table("training", "steps", "verdict", "decades", "growth per step", "relative L2 at the end")
    for m in members:
        final = m["final"]["relative_l2"] if m["final"] else None
        decades = f"{m['decades']:.1f}" if m["decades"] is not None else "–"
        rate = f"{m['growth_rate_per_step']:.3g}" if m["growth_rate_per_step"] is not None else "–"
        table.add_row(m["name"], f"{m['reached']:,}", m["verdict"].replace("_", " "), decades, rate, _scientific(final))
    return table


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _scientific(value: float | None) -> str:
    return "–" if value is None else f"{value:.2e}"


def _episode_lines(result: dict[str, Any]) -> list[str]:
    episodes = result["episodes"]
    if not episodes:
        return ["no growth episode: the difference never rose above its noise"]
    lines = [
        f"growth episodes: {len(episodes)}, {100 * result['episodes_share']:.0f}% of all growth in "
        f"{100 * result['episodes_share_of_steps']:.0f}% of the steps"
    ]
    ranked = sorted(episodes, key=lambda e: -e["rise"])[:_EPISODES_SHOWN]
    lines += [
        f"  steps {e['start']:,} – {e['end']:,}: × {_factor(e['rise'])}, {e['rate']:.3g} nats per step, "
        f"{100 * e['share']:.0f}% of all growth"
        for e in sorted(ranked, key=lambda e: e["start"])
    ]
    if len(episodes) > _EPISODES_SHOWN:
        lines.append(f"  and {len(episodes) - _EPISODES_SHOWN} smaller ones")
    lines += [
        f"  largest jump of {jump['twin']}: × {jump['factor']:,.0f} from step {jump['start']:,} to {jump['end']:,}, in "
        f"{len(jump['tensors'])} tensors up to {jump['last']}"
        for jump in result["jumps"][:3]
    ]
    if result["half_of_growth_in_share_of_steps"] is not None:
        lines.append(f"half of all growth fell in {100 * result['half_of_growth_in_share_of_steps']:.2g}% of the steps")
    return lines


def _factor(rise: float) -> str:
    """Return `exp(rise)` without overflow."""
    if rise < 7:
        return f"{2.718281828459045**rise:.3g}"
    return f"10^{rise / 2.302585092994046:.1f}"


def _rate_lines(result: dict[str, Any]) -> list[str]:
    lines = []
    first = result["first_difference"]
    if first is not None:
        lines.append(f"first difference: step {first['step']:,}, largest in {first['tensor']}")
    growing = (result["participation"] or {}).get("while_growing")
    if growing is not None:
        spread = growing["tensors"]
        lines.append(
            f"while it grew it lived in effectively {spread['participation']:.1f} of {spread['carriers']} tensors "
            f"(participation ratio, step {growing['step']:,})"
        )
    tangent = result["tangent"]
    if tangent is not None:
        lines.append(
            f"tangent growth: {tangent['rate']:.3g} nats per step, {tangent['rate_second_half']:.3g} in the second half"
        )
        small = tangent["while_small"]
        if small is not None:
            lines.append(
                f"  while twins were small (steps {small['start']:,} – {small['end']:,}): twins "
                f"{small['twin_rate']:.3g}, tangent {small['tangent_rate']:.3g} nats per step"
            )
    return lines


def _control_lines(result: dict[str, Any]) -> list[str]:
    control, landing = result["control"], result["perturbation"]
    mark = "passed" if control["bitwise_identical"] else "FAILED"
    lines = [f"control {mark}: largest difference of the exact repeat {control['max_difference']:g} in every measure"]
    if control["bitwise_identical"]:
        lines.append(
            f"perturbation landed in {landing['landed_fraction']:.0%} of {_count(landing['twins'], 'twin')}: it "
            f"changed {landing['first_step_share']:.0%} of the weights in the first step, "
            f"{landing['last_step_share']:.0%} by the last (medians)"
        )
    return lines
