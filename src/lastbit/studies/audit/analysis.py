"""What the runs of an audit say: controls first, then estimates with intervals, then one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from lastbit import stats
from lastbit.core.plain import plain
from lastbit.core.status import Role, RunStatus
from lastbit.stats import Estimate
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.audit.verdict import verdict
from lastbit.studies.frame.control import LandedRun, compare_repeat, control_of, landing_of
from lastbit.studies.frame.unfinished import with_progress

__all__ = ["analyse"]

Array = np.ndarray[Any, Any]


def analyse(folder: StudyFolder) -> dict[str, Any]:
    """Return the result of an audit as plain values; every estimate is `{estimate, low, high, n, df, note}`.

    Spreads are estimated from the runs with status `ok` whose perturbation landed, and only where every repeat matched
    bit for bit: otherwise they are `not measured`, with the reason.
    """
    facts = folder.facts
    metric = facts["task"]["metric"]
    records = folder.runs()
    control = _control(folder, records)
    landing = _landing(folder, records)
    result: dict[str, Any] = {
        "schema": facts["schema"],
        "kind": "audit",
        "control": control,
        "perturbation": landing,
        "metric": dict(metric),
    }
    reason = _reason_for_silence(control, landing, records)
    trained = [r for r in records if r.role != Role.REPEAT and r.status == RunStatus.OK]
    used = [r for r in trained if r.run not in landing["not_landed"]]
    if reason:
        result |= _nothing(reason, len(used))
    else:
        result |= _estimates(folder, used, metric["name"])
    result["metric"]["mean"] = result.pop("mean")
    grid = facts["spec"]["audit"]
    planned = grid["seeds"] * (grid["perturbations"] + 1)
    return result | {
        **with_progress(folder, verdict(result), len(records), planned),
        "task": facts["task"],
        "spec": facts["spec"],
        "command": facts["command"],
        "environment": facts["environment"],
        "execution": facts.get("execution", {}),
        "runs_finished": len(records),
        "runs_planned": planned,
        "runs": [_run_row(record) for record in records],
    }


def _run_row(record: RunRecord) -> dict[str, Any]:
    return {
        "run": record.run,
        "cell": record.cell,
        "twin": record.twin,
        "label": record.label,
        "role": str(record.role),
        "status": str(record.status),
        "attempts": record.attempts,
        "message": record.message,
        "seconds": record.seconds,
        "metrics": plain({name: values[-1] if values else None for name, values in record.metrics.items()}),
    }


def _control(folder: StudyFolder, records: Iterable[RunRecord]) -> dict[str, Any]:
    """Compare every repeat with its base."""
    usable = {(r.cell, r.role): r for r in records if r.status != RunStatus.CRASHED and r.role != Role.TWIN}
    repeats = [r for (cell, role), r in usable.items() if role == Role.REPEAT and (cell, Role.BASE) in usable]
    pairs = [(usable[repeat.cell, Role.BASE], repeat) for repeat in repeats]
    found: dict[str, Any] = plain(control_of(compare_repeat(folder, base, repeat) for base, repeat in pairs))
    return found


def _landing(folder: StudyFolder, records: Iterable[RunRecord]) -> dict[str, Any]:
    """Measure the share of weights by which every perturbed run differs from its base after the first and last step."""
    rows = []
    bases: dict[int, dict[str, Array]] = {}
    records = [r for r in records if r.status != RunStatus.CRASHED and r.role != Role.REPEAT]
    for record in records:
        if record.role == Role.BASE:
            bases[record.cell] = folder.arrays(record.run)
    for record in records:
        if record.role == Role.TWIN and record.cell in bases:
            arrays, base = folder.arrays(record.run), bases[record.cell]
            first = float(np.mean(arrays["weights_first"] != base["weights_first"]))
            last = float(np.mean(arrays["weights_final"] != base["weights_final"]))
            rows.append(LandedRun(run=record.run, landed=first > 0 or last > 0, first_step=first, last_step=last))
    found: dict[str, Any] = plain(landing_of(folder.facts["spec"]["audit"]["perturb"], rows))
    return found


def _reason_for_silence(control: dict[str, Any], landing: dict[str, Any], records: list[RunRecord]) -> str:
    if not any(r.status == RunStatus.OK and r.role != Role.REPEAT for r in records):
        return "no run finished"
    if control["first_difference"] is not None:
        return "an exact repeat did not match bit for bit"
    if not control["pairs"]:
        return "no exact repeat could be compared"
    if landing["landed_fraction"] == 0:
        return "the perturbation changed no weight"
    return ""


_ESTIMATES = (
    "mean",
    "sigma_last_bit",
    "sigma_seed",
    "sigma_total",
    "last_bit_variance_share",
    "churn_last_bit",
    "churn_seed",
    "weight_distance_last_bit",
    "weight_distance_seed",
)


def _nothing(reason: str, runs: int) -> dict[str, Any]:
    """Return a result without a single number that could be taken for a last-bit spread."""
    missing = stats.not_measured(reason, runs).to_json()
    return {
        **dict.fromkeys(_ESTIMATES, missing),
        "loss": None,
        "distribution": None,
        "smallest_resolvable_difference": [],
        "seeds_needed": [],
        "churn_matrix": None,
    }


def _table(records: list[RunRecord], name: str) -> Array:
    """Return the final values of a metric by seed and perturbation, NaN where there is no run."""
    seeds = sorted({r.cell for r in records})
    columns = max(r.twin for r in records) + 1
    table_SP = np.full((len(seeds), columns), np.nan)
    for record in records:
        table_SP[seeds.index(record.cell), record.twin] = record.metrics[name][-1]
    # A column that no run fills would make a whole grid look ragged.
    return table_SP[:, ~np.isnan(table_SP).all(axis=0)]


def _estimates(folder: StudyFolder, records: list[RunRecord], metric: str) -> dict[str, Any]:
    unit = folder.facts["task"]["metric"]["unit"]
    seeds = [record.cell for record in records]
    components = stats.variance_components(_table(records, metric))
    loss = stats.variance_components(_table(records, "test_loss"))
    finals = [record.metrics[metric][-1] for record in records]
    losses = [record.metrics["test_loss"][-1] for record in records]
    arrays = [folder.arrays(record.run) for record in records]
    distance = stats.weight_distance([a["weights_final"] for a in arrays], seeds)
    result: dict[str, Any] = {
        "mean": stats.mean_estimate(finals, seeds=seeds).to_json(),
        **{
            name: getattr(components, name).to_json()
            for name in ("sigma_last_bit", "sigma_seed", "sigma_total", "last_bit_variance_share")
        },
        "method": components.method,
        "balanced": components.balanced,
        "level": components.level,
        "loss": {"mean": stats.mean_estimate(losses, seeds=seeds).to_json(), **loss.to_json()},
        **distance.to_json(),
        **_churn(records, arrays, seeds),
        "distribution": None,
        "smallest_resolvable_difference": [
            row.to_json() for row in stats.smallest_resolvable_difference(components.sigma_total)
        ],
        "seeds_needed": [
            row.to_json()
            for row in stats.seeds_needed(
                components.sigma_total, differences=_differences(unit, components.sigma_total)
            )
        ],
    }
    if len(records) > 1:
        scale = 100.0 if unit == "%" else 1.0
        spread = stats.distribution_spread(_scores(arrays, folder.facts["task"]["test_size"]) * scale, seeds)
        result["distribution"] = spread.to_json()
    return result


def _differences(unit: str, sigma: Estimate) -> tuple[float, ...]:
    """Return the differences to plan for: tenths of a point, or round fractions of a metric that has no points."""
    if unit == "%" or not sigma.estimate:
        return (0.1, 0.2, 0.5, 1.0)
    size = 10.0 ** math.floor(math.log10(sigma.estimate))
    return (size, 2 * size, 5 * size, 10 * size)


def _churn(records: list[RunRecord], arrays: list[dict[str, Array]], seeds: list[int]) -> dict[str, Any]:
    if len(records) < 2 or any("predictions" not in a for a in arrays):
        reason = "needs two runs" if len(records) < 2 else "the task has no classes to disagree on"
        missing = stats.not_measured(f"churn: {reason}", len(records)).to_json()
        return {"churn_last_bit": missing, "churn_seed": missing, "churn_matrix": None}
    result = stats.churn(np.stack([a["predictions"].astype(np.int64) for a in arrays]), seeds)
    matrix = {"runs": [record.run for record in records], "values": result.matrix.round(6).tolist()}
    return {**result.to_json(), "churn_matrix": matrix}


def _scores(arrays: list[dict[str, Array]], test_size: int) -> Array:
    """Return the scores of every test example, (runs, examples); booleans are stored as packed bits."""
    rows = [a["per_example"] for a in arrays]
    unpacked = [np.unpackbits(row, count=test_size) if row.dtype == np.uint8 else row for row in rows]
    return np.stack(unpacked).astype(np.float64)
