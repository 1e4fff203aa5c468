"""Every metric of an audit whose task has several: the spreads of each, and what its test set's sampling adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lastbit import stats
from lastbit.stats import Estimate
from lastbit.store import RunRecord
from lastbit.studies.audit.tabulate import finite_runs, largest, mean_of, table_of

__all__ = ["MetricSpread", "Printed", "metric_spreads", "metrics_of", "printed_of"]


@dataclass(frozen=True, kw_only=True)
class MetricSpread:
    """How far the runs spread in one metric, in its unit.

    Attributes:
        name: of the metric.
        unit: of every number but the share.
        higher_is_better: whether a larger value is better; None where nobody said.
        mean: over the runs that count.
        sigma_last_bit: SD over perturbations of one training with one seed.
        sigma_seed: SD over seeds, the last bit removed.
        sigma_total: SD of a fresh run with a fresh seed.
        last_bit_variance_share: share of the variance of fresh runs, between 0 and 1.
        sampling_error: standard error of one run's value from the sampling of the test set, root mean square over runs:
            `SD / sqrt(N)` of the scores of N examples, or the jackknife's (see `Tally`). None where it is not known.
        left_out: which runs are left out because their value is not finite.
    """

    name: str
    unit: str
    higher_is_better: bool | None
    mean: Estimate
    sigma_last_bit: Estimate
    sigma_seed: Estimate
    sigma_total: Estimate
    last_bit_variance_share: Estimate
    sampling_error: float | None
    left_out: str = ""

    @property
    def points(self) -> str:
        """The unit of a difference: points for a percentage."""
        return "points" if self.unit == "%" else self.unit


@dataclass(frozen=True, kw_only=True)
class Printed:
    """How a command shows the metric that the audit is about, where that hides small changes of it.

    Attributes:
        digits: significant digits.
        hidden_below: the step from one number to the next, in the metric's unit: two runs that show the same are closer
            than this. None where an earlier version looked at the digits alone.
    """

    digits: int
    hidden_below: float | None


def metrics_of(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return name, unit and `higher_is_better` of every metric, first the one that the audit is about.

    Of a training function they are known once a run of it is in.
    """
    task = facts["task"]
    found = [task, *facts.get("cells", ()), {"metrics": [{"name": "result", "unit": "", "higher_is_better": True}]}]
    every: list[Mapping[str, Any]] = next(one["metrics"] for one in found if "metrics" in one)
    kept = ("name", "unit", "higher_is_better")
    known: list[Mapping[str, Any]] = [{name: one[name] for name in kept} for one in every]
    # Studies of an earlier lastbit name the one metric alone.
    return known if "metric" not in task or "metrics" in task else [{**task["metric"], "higher_is_better": True}]


def printed_of(facts: Mapping[str, Any]) -> Printed | None:
    """Return how a command shows the metric that the audit is about; None where that hides nothing."""
    seen = [cell["metrics"][0] for cell in facts.get("cells", ()) if cell.get("metrics")]
    hiding = [one for one in seen if one.get("digits") is not None]
    if not hiding:
        return None
    steps = [one["hidden_below"] for one in hiding if one.get("hidden_below") is not None]
    return Printed(digits=min(one["digits"] for one in hiding), hidden_below=max(steps, default=None))


def metric_spreads(
    metrics: Sequence[Mapping[str, Any]], records: Sequence[RunRecord], arrays: Sequence[Mapping[str, np.ndarray]]
) -> tuple[MetricSpread, ...]:
    """Return the spreads of every metric; nothing of a task that has one, which the audit itself is about.

    Args:
        metrics: name, unit and `higher_is_better` of each, as in `study.json`.
        records: the runs that count.
        arrays: of those.
    """
    if len(metrics) < 2:
        return ()
    return tuple(_spread(place, metric, records, arrays) for place, metric in enumerate(metrics))


def _spread(
    place: int,
    metric: Mapping[str, Any],
    records: Sequence[RunRecord],
    arrays: Sequence[Mapping[str, np.ndarray]],
) -> MetricSpread:
    counted, left_out = finite_runs(records, metric["name"])
    names = ("sigma_last_bit", "sigma_seed", "sigma_total", "last_bit_variance_share")
    if counted:
        table = table_of(counted, metric["name"])
        components = stats.variance_components(table)
        most = largest(table, metric["unit"])
        least = -most if most > 100 else 0.0
        # Half of the range is the most that a standard deviation within it can be.
        ends = dict.fromkeys(names[:3], most / 2) | {names[3]: 1.0}
        found = {name: getattr(components, name).truncated(0.0, end) for name, end in ends.items()}
        mean = mean_of(counted, metric["name"]).truncated(least, most)
    else:
        mean = stats.not_measured(f"{metric['name']} is not a finite number in any run", len(records))
        found = dict.fromkeys(names, mean)
    errors = np.array([float(each["sampling_error"][place]) for each in arrays if "sampling_error" in each])
    errors = errors[np.isfinite(errors)]
    return MetricSpread(
        **metric,
        mean=mean,
        **found,
        sampling_error=float(np.sqrt(np.mean(errors**2))) if len(errors) else None,
        left_out=left_out,
    )
