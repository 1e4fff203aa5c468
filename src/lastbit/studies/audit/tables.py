"""The tables and texts of an audit's report, in the words of the command line's summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lastbit.report.blocks import Card, Column, Facts, Prose, Row, Table
from lastbit.report.formatting import capitalised, number, percent, show

__all__ = [
    "SILENT_KINDS",
    "cards",
    "control_facts",
    "difference_facts",
    "estimates_table",
    "failures",
    "how_to_read",
    "plan_tables",
    "points_of",
    "runs_table",
]

SILENT_KINDS = ("not_reproducible", "not_landed", "no_runs")
"""Verdicts of an audit whose controls failed: its runs say nothing of the last bit, so no spread is shown."""

_RUNS_SHOWN = 500


def points_of(result: Mapping[str, Any]) -> str:
    """Return the unit of a difference of the metric: points for a percentage."""
    unit = str(result["metric"]["unit"])
    return "points" if unit == "%" else unit


def cards(result: Mapping[str, Any]) -> list[Card]:
    """Return the four numbers that matter."""
    points = points_of(result)
    plan = result["smallest_resolvable_difference"]
    single = plan[0]["difference"] if plan else result["sigma_total"]
    rows = (
        (
            "σ last bit",
            "same seed, only the last bit of each update changed",
            result["sigma_last_bit"],
            points,
            1.0,
            "runs",
        ),
        ("σ seeds", "what another seed adds, last bit taken off", result["sigma_seed"], points, 1.0, "seeds"),
        (
            "Last-bit share",
            "of the variance over fresh runs",
            result["last_bit_variance_share"],
            "%",
            100.0,
            "runs",
        ),
        ("Smallest difference seen", "between two single runs, 80% power", single, points, 1.0, "runs"),
    )
    found = []
    for title, note, value, unit, scale, what in rows:
        shown = show(value, unit, scale)
        what = what.removesuffix("s") if shown.n == "1" else what
        if shown.interval:
            interval = f"95% interval {shown.interval}"
        else:
            interval = "interval not measured" if shown.measured else shown.note
        found.append(
            Card(
                title=title,
                value=shown.value,
                interval=interval,
                samples=f"n = {shown.n} {what}",
                note=note,
                measured=shown.measured,
            )
        )
    return found


def how_to_read(result: Mapping[str, Any]) -> Prose:
    """Return three sentences for who reads such a page for the first time."""
    name = result["metric"]["name"]
    plan = result["smallest_resolvable_difference"]
    last = (
        "Take no difference between two single runs for real that is smaller than the fourth number; the planner below "
        "says how many seeds a smaller one needs."
        if plan and plan[0]["difference"]["estimate"] is not None
        else "From which difference on two single runs really differ is not measured here: it takes two seeds or more."
    )
    return Prose(
        (
            "Runs of one seed are the same training, rounded otherwise in the last bit: how far their "
            f"{name} spreads is σ last bit, and no fixed seed removes it.",
            "σ seeds is what another seed adds; the share says how much of all variance the last bit makes alone.",
            last,
        ),
        bullets=True,
    )


def control_facts(result: Mapping[str, Any]) -> Facts:
    """Return what the controls say: the repeats, and where the perturbation landed."""
    control, landing = result["control"], result["perturbation"]
    if not control["pairs"]:
        rows = [("Exact repeats", "none could be compared")]
    else:
        word = "passed" if control["bitwise_identical"] else "FAILED"
        rows = [
            (
                "Exact repeats",
                f"{word}: {control['pairs_identical']} of {control['pairs']} match bit for bit",
            ),
        ]
    fraction = landing["landed_fraction"]
    if fraction is None:
        rows.append((f"Perturbation ({landing['kind']})", "no perturbed run could be compared with its base"))
        return Facts(rows)
    rows.append(
        (
            f"Perturbation ({landing['kind']})",
            f"landed in {percent(fraction)} of {landing['twins']} runs",
        )
    )
    for name, key in (("first", "first_step_share"), ("last", "last_step_share")):
        share = landing[key]
        if share is not None:
            span = f"{percent(share['min'])} to {percent(share['max'])}"
            spread = (
                f"{percent(share['median'])} (median; {span})" if share["min"] < share["max"] else percent(share["min"])
            )
            rows.append((f"Weights changed after the {name} step", spread))
    if landing["not_landed"]:
        rows.append(("Runs it did not change", ", ".join(map(str, landing["not_landed"]))))
    return Facts(rows)


def difference_facts(result: Mapping[str, Any]) -> Facts | None:
    """Return where an exact repeat first differs from its run, if one does."""
    first = result["control"]["first_difference"]
    if first is None:
        return None
    rows = [
        ("Seed", str(first["cell"])),
        ("First differs at", f"step {first['step']}"),
        ("In", str(first["what"])),
    ]
    for title, key in (("Unperturbed run", "base"), ("Its exact repeat", "repeat")):
        if first[key] is not None:
            rows.append((title, repr(first[key])))
    return Facts(rows)


def estimates_table(result: Mapping[str, Any]) -> Table:
    """Return every estimate with its interval, n and notes."""
    metric, points = result["metric"], points_of(result)
    loss: Mapping[str, Any] = result["loss"] or {}
    rows: list[tuple[str, Mapping[str, Any] | None, str, float]] = [
        ("σ last bit (same seed)", result["sigma_last_bit"], points, 1.0),
        ("σ seeds (last bit taken off)", result["sigma_seed"], points, 1.0),
        ("σ of a fresh run (both)", result["sigma_total"], points, 1.0),
        ("share of variance that is last bit", result["last_bit_variance_share"], "%", 100.0),
        ("churn over the last bit", result["churn_last_bit"], "%", 100.0),
        ("churn over seeds", result["churn_seed"], "%", 100.0),
        ("σ last bit of the test loss", loss.get("sigma_last_bit"), "", 1.0),
        ("σ seeds of the test loss", loss.get("sigma_seed"), "", 1.0),
        ("share of the test loss's variance that is last bit", loss.get("last_bit_variance_share"), "%", 100.0),
        ("weight distance, last bit (mean relative L1)", result["weight_distance_last_bit"], "", 1.0),
        ("weight distance, seeds (mean relative L1)", result["weight_distance_seed"], "", 1.0),
    ]
    if result["distribution"] is not None:
        for key, who in (("total", "fresh run"), ("last_bit", "last bit")):
            parts = result["distribution"][key]
            rows += [
                (f"σ on the distribution (another test set), {who}", parts["distribution"], points, 1.0),
                (f"σ from this test set's sampling, {who}", parts["test_set"], points, 1.0),
            ]
    mean = metric["mean"]
    span = f"{number(mean['low'])} – {number(mean['high'])}" if mean["low"] is not None else ""
    found = [
        Row(
            (
                f"{metric['name']}, mean",
                number(mean["estimate"], unit=metric["unit"]),
                span,
                str(mean["n"]),
                mean["note"],
            )
        )
    ]
    for title, value, unit, scale in rows:
        if value is not None:
            shown = show(value, unit, scale)
            found.append(Row((title, shown.value, shown.interval, shown.n, shown.note)))
    columns = (
        Column("quantity"),
        Column("estimate", True),
        Column("95% interval", True),
        Column("n", True),
        Column("note", quiet=True),
    )
    return Table(columns, found, caption=capitalised(str(result.get("method", ""))), fold=100)


def plan_tables(result: Mapping[str, Any]) -> list[Table]:
    """Return what n seeds of each of two configurations can tell apart, and what a difference needs."""
    points = points_of(result)
    tables = []
    resolvable = [
        (f"{row['n_seeds']} seed{'s' if row['n_seeds'] > 1 else ''} each", show(row["difference"], points))
        for row in result["smallest_resolvable_difference"]
        if row["difference"]["estimate"] is not None
    ]
    if resolvable:
        columns = (
            Column("runs of each configuration"),
            Column("smallest difference seen", True),
            Column("95% interval", True),
        )
        tables.append(Table(columns, [Row((name, s.value, s.interval)) for name, s in resolvable]))
    needed = []
    for row in result["seeds_needed"]:
        seeds = row["n_seeds"]
        if seeds["estimate"] is not None:
            span = f"{seeds['low']:,.0f} – {seeds['high']:,.0f}" if None not in (seeds["low"], seeds["high"]) else ""
            unit_here = "point" if points == "points" and row["difference"] == 1 else points
            needed.append(Row((f"{row['difference']:g} {unit_here}".strip(), f"{seeds['estimate']:,.0f} each", span)))
    if needed:
        columns = (Column("a true difference of"), Column("seeds needed", True), Column("95% interval", True))
        tables.append(Table(columns, needed))
    return tables


def failures(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line for each run that did not end well."""
    failed = [run for run in runs if run["status"] != "ok"]
    lines = [f"{run['run']} ({run['label']}) {run['status']}: {run['message'] or 'no message'}" for run in failed[:12]]
    if len(failed) > 12:
        lines.append(f"and {len(failed) - 12} more runs that did not end well")
    return lines


def runs_table(result: Mapping[str, Any]) -> Table:
    """Return the runs: how each ended, what it took, its final metrics. Those that failed come first."""
    runs = sorted(result["runs"], key=lambda run: run["status"] == "ok")
    names = sorted({name for run in runs for name in run["metrics"]}, key=lambda n: (n != result["metric"]["name"], n))
    columns = [
        Column("run"),
        Column("perturbation"),
        Column("status"),
        Column("attempts", True),
        Column("seconds", True),
        *(Column(name.replace("_", " "), True) for name in names),
    ]
    rows = []
    for run in runs[:_RUNS_SHOWN]:
        status = f"{run['status']}: {run['message']}" if run["message"] else run["status"]
        values = [number(run["metrics"].get(name), 5) for name in names]
        cells = (run["run"], run["label"], status, str(run["attempts"]), number(run["seconds"], 3), *values)
        rows.append(Row(cells, {"ok": None, "diverged": "attention"}.get(run["status"], "failure")))
    caption = f"The first {_RUNS_SHOWN} of {len(runs)} runs; all are in runs.sqlite." if len(runs) > _RUNS_SHOWN else ""
    return Table(columns, rows, caption=caption)
