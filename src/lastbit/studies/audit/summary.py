"""An audit's result as text: the verdict, what to do, the table, the controls."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lastbit.stats import Estimate

__all__ = ["render_summary"]


def render_summary(result: dict[str, Any]) -> RenderableType:
    """Return the summary for a rich console: verdict, advice, table, controls, runs that failed."""
    good = result["verdict_kind"] not in ("not_reproducible", "not_landed", "no_runs")
    parts: list[RenderableType] = [
        Text(_sentence(result["verdict"]), style="bold" if good else "bold red"),
        Text(result["advice"]),
    ]
    if good:
        parts += [Text(""), _spread_table(result), Text(""), _plan_table(result)]
    parts += [Text(""), *(Text(line) for line in [*_control_lines(result), *_failure_lines(result)])]
    return Group(*parts)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _estimate(value: dict[str, Any]) -> Estimate:
    return Estimate(value["estimate"], value["low"], value["high"], value["n"], value["note"], value["df"])


def _cells(estimate: Estimate, unit: str = "") -> tuple[str, str, str, str]:
    """Return estimate, interval, n, note as the cells of a row."""
    if estimate.estimate is None:
        return "not measured", "", str(estimate.n), estimate.note.removeprefix("not measured: ")
    number, _, rest = estimate.format(2, unit).partition(" [")
    interval = rest.partition("]")[0]
    if interval == "interval not measured":
        interval = ""
    return number, interval.replace(", ", " – "), str(estimate.n), estimate.note


def _spread_table(result: dict[str, Any]) -> Table:
    metric = result["metric"]
    unit = metric["unit"]
    points = "points" if unit == "%" else unit
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name, side in (("", "left"), ("estimate", "right"), ("95% interval", "right"), ("n", "right"), ("", "left")):
        table.add_column(name, justify=side, no_wrap=side == "right")  # type: ignore[arg-type]
    mean = _estimate(metric["mean"])
    if mean.estimate is not None:
        shown = [mean.estimate, mean.low, mean.high]
        number, low, high = ("" if value is None else f"{value:.4g}{unit}" for value in shown)
        table.add_row(f"{metric['name']}, mean", number, f"{low} – {high}" if low else "", str(mean.n), mean.note)
    rows = [
        ("σ last bit (same seed)", result["sigma_last_bit"], points, 1.0),
        ("σ seeds (last bit taken off)", result["sigma_seed"], points, 1.0),
        ("σ of a fresh run (both)", result["sigma_total"], points, 1.0),
        ("last-bit share of the variance", result["last_bit_variance_share"], "%", 100.0),
        ("churn, last bit", result["churn_last_bit"], "%", 100.0),
        ("churn, seeds", result["churn_seed"], "%", 100.0),
        ("test loss: σ last bit", (result["loss"] or {}).get("sigma_last_bit"), "", 1.0),
        ("last-bit share of its variance", (result["loss"] or {}).get("last_bit_variance_share"), "%", 100.0),
        ("weight distance, last bit", result["weight_distance_last_bit"], "", 1.0),
        ("weight distance, seeds", result["weight_distance_seed"], "", 1.0),
    ]
    if result["distribution"] is not None:
        parts = result["distribution"]["total"]
        rows += [
            ("σ on another test set", parts["distribution"], points, 1.0),
            ("σ of this test set's sampling", parts["test_set"], points, 1.0),
        ]
    for name, value, what, scale in rows:
        if value is not None:
            table.add_row(name, *_cells(_estimate(value).scaled(scale), what))
    return table


def _plan_table(result: dict[str, Any]) -> Table:
    """Return what n seeds of each of two configurations can tell apart, and what a difference needs."""
    points = "points" if result["metric"]["unit"] == "%" else result["metric"]["unit"]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("comparing two configurations", "smallest difference seen", "95% interval"):
        table.add_column(name, justify="left" if name.startswith("comparing") else "right")
    for row in result["smallest_resolvable_difference"]:
        number, interval, _, _ = _cells(_estimate(row["difference"]), points)
        table.add_row(f"{row['n_seeds']} seed{'s' if row['n_seeds'] > 1 else ''} each, 80% power", number, interval)
    for row in result["seeds_needed"]:
        seeds = row["n_seeds"]
        if seeds["estimate"] is not None:
            span = f"{seeds['low']:.0f} – {seeds['high']:.0f}" if seeds["low"] is not None else ""
            unit = "point" if points == "points" and row["difference"] == 1 else points
            needs = f"needs {seeds['estimate']:.0f} seeds each"
            table.add_row(f"a difference of {row['difference']:g} {unit}", needs, span)
    return table


def _control_lines(result: dict[str, Any]) -> list[str]:
    control, landing = result["control"], result["perturbation"]
    mark = "passed" if control["bitwise_identical"] else "FAILED"
    lines = [f"control {mark}: {control['pairs_identical']} of {control['pairs']} exact repeats match bit for bit"]
    if not control["pairs"]:
        lines = ["control: no exact repeat could be compared"]
    if landing["landed_fraction"] is not None:
        first, last = landing["first_step_share"], landing["last_step_share"]
        lines.append(
            f"perturbation ({landing['kind']}) landed in {landing['landed_fraction']:.0%} of "
            f"{landing['twins']} runs: it changed {first['median']:.0%} of the weights in the first step, "
            f"{last['median']:.0%} by the last (medians)"
        )
    return lines


def _failure_lines(result: dict[str, Any]) -> list[str]:
    failed = [run for run in result["runs"] if run["status"] != "ok"]
    lines = []
    lines += [f"{run['run']} {run['status']}: {run['message']}" for run in failed[:8]]
    if len(failed) > 8:
        lines.append(f"and {len(failed) - 8} more runs that did not end well")
    return lines
