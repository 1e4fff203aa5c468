"""The spreads of an audit, estimated from its runs; what cannot be estimated is not measured, with the reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lastbit import stats
from lastbit.core.errors import LastbitError
from lastbit.report.formatting import number
from lastbit.stats import DistributionSpread, Estimate, ResolvableDifference, SeedsNeeded, VarianceComponents
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.audit.distances import Distances
from lastbit.studies.audit.metrics import MetricSpread, Printed, metric_spreads, metrics_of
from lastbit.studies.audit.tabulate import finite_runs, largest, mean_of, table_of

__all__ = ["ChurnMatrix", "LossSpread", "Metric", "Spreads", "estimate_spreads", "no_spreads", "noting_the_step"]

Arrays = list[dict[str, np.ndarray]]

_SPREADS = ("sigma_last_bit", "sigma_seed", "sigma_total")
_SIGMAS = (*_SPREADS, "last_bit_variance_share")
_CHURN = ("churn_last_bit", "churn_seed")
_DISTANCE = ("weight_distance_last_bit", "weight_distance_seed")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What the runs are compared by, in its unit."""

    name: str
    unit: str
    mean: Estimate
    """Over the runs that count."""


@dataclass(frozen=True, kw_only=True)
class LossSpread(VarianceComponents):
    """The spread of the test loss, which resolves smaller differences than a count of right answers."""

    mean: Estimate


@dataclass(frozen=True, kw_only=True)
class ChurnMatrix:
    """The share of test examples on which two runs predict differently, for every pair of runs."""

    runs: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Spreads:
    """How far runs spread by the last bit, by the seed and by both, and what that means for a comparison.

    Attributes:
        metric: what is compared.
        sigma_last_bit: SD over perturbations of one training with one seed; in the metric's unit, as the next two.
        sigma_seed: SD over seeds of what a seed's runs have in common.
        sigma_total: SD of a fresh run with a fresh seed.
        last_bit_variance_share: share of the variance of fresh runs, between 0 and 1.
        churn_last_bit: share of examples predicted differently by two runs of one seed.
        churn_seed: the same for two seeds.
        weight_distance_last_bit: mean relative L1 distance of a seed's runs from its base; of a large network, or one
            whose weights are not kept, the relative L2 distance, estimated from sketches (its note says how well).
        weight_distance_seed: the same between the bases of two seeds.
        smallest_resolvable_difference: what n seeds of each of two configurations can tell apart.
        seeds_needed: how many seeds of each a true difference takes.
        last_bit_by_seed: sigma_last_bit of each seed by itself; their intervals hold all at once.
        loss: the spread of the test loss; None where it is not measured.
        distribution: the spread on the distribution apart from this test set's sampling; None where not measured.
        churn_matrix: of every pair of runs; None where not measured.
        metrics: the spreads of every metric of a task that has several, the first of which is `metric`.
        not_measured: why `loss` or `distribution` is None, or which runs' `metric` or `loss` is left out, by name.
        method: how points and intervals were made.
        balanced: whether every seed has the same number of runs.
        level: confidence level of the intervals.
    """

    metric: Metric
    sigma_last_bit: Estimate
    sigma_seed: Estimate
    sigma_total: Estimate
    last_bit_variance_share: Estimate
    churn_last_bit: Estimate
    churn_seed: Estimate
    weight_distance_last_bit: Estimate
    weight_distance_seed: Estimate
    smallest_resolvable_difference: tuple[ResolvableDifference, ...] = ()
    seeds_needed: tuple[SeedsNeeded, ...] = ()
    last_bit_by_seed: tuple[Estimate, ...] = ()
    loss: LossSpread | None = None
    distribution: DistributionSpread | None = None
    churn_matrix: ChurnMatrix | None = None
    metrics: tuple[MetricSpread, ...] = ()
    not_measured: Mapping[str, str] = field(default_factory=dict)
    method: str = ""
    balanced: bool | None = None
    level: float | None = None

    @property
    def points(self) -> str:
        """The unit of a difference of the metric: points for a percentage."""
        return "points" if self.metric.unit == "%" else self.metric.unit


def no_spreads(metric: Mapping[str, str], reason: str, runs: int) -> Spreads:
    """Return spreads without a single number that could be taken for a last-bit spread."""
    missing: Any = stats.not_measured(reason, runs)
    return Spreads(
        metric=Metric(name=metric["name"], unit=metric["unit"], mean=missing),
        **dict.fromkeys((*_SIGMAS, *_CHURN, *_DISTANCE), missing),
        not_measured={"loss": reason, "distribution": reason},
    )


def noting_the_step(spreads: Spreads, printed: Printed | None) -> Spreads:
    """Return the spreads with a remark where none of the last bit was seen in what a command prints in steps."""
    if printed is None or printed.hidden_below is None or spreads.sigma_last_bit.estimate != 0:
        return spreads
    hidden = f"the command shows no change below {number(printed.hidden_below, 2, spreads.points)}"
    noted = {name: getattr(spreads, name) for name in ("sigma_last_bit", "last_bit_variance_share")}
    noted = {
        name: replace(one, note="; ".join(part for part in (hidden, one.note) if part))
        for name, one in noted.items()
        if one.estimate is not None
    }
    return replace(spreads, **noted)


def estimate_spreads(folder: StudyFolder, records: Sequence[RunRecord]) -> Spreads:
    """Return the spreads of the runs that count: finished, and landed where they were perturbed.

    One run at least has a finite metric; one without it counts for none of its spreads. Intervals of a percentage end
    at what is possible: those of its mean at 0 and 100, those of its standard deviations at 50 points,
    the most that values between 0 and 100 can have (Popoviciu 1935: half of the range).
    """
    task = folder.facts["task"]
    metrics = metrics_of(folder.facts)
    name, unit = metrics[0]["name"], metrics[0]["unit"]
    seeds = [record.cell for record in records]
    distances = Distances(folder)
    arrays = [distances.noted(record.run, folder.arrays(record.run)) for record in records]
    counted, left_out = finite_runs(records, name)
    table = table_of(counted, name)
    components = stats.variance_components(table)
    total = components.sigma_total
    loss, loss_left_out = _loss(records)
    distribution = _distribution(arrays, seeds, task.get("test_size"), 100.0 if unit == "%" else 1.0)
    found = {"loss": loss, "distribution": distribution}
    missing = {"metric": left_out, "loss": loss_left_out}
    missing |= {what: why for what, why in found.items() if isinstance(why, str)}
    most = largest(table, unit)
    if not isinstance(distribution, str):
        ends = {part: getattr(distribution, part).truncated(most / 2) for part in ("last_bit", "total")}
        distribution = replace(distribution, **ends)
    return Spreads(
        metric=Metric(name=name, unit=unit, mean=mean_of(counted, name).truncated(-most if most > 100 else 0.0, most)),
        **{part: getattr(components, part).truncated(0.0, most / 2) for part in _SPREADS},
        **{part: getattr(components, part) for part in ("last_bit_variance_share", "method", "balanced", "level")},
        **_weight_distance(distances, records, seeds),
        **_churn(records, arrays, seeds),
        smallest_resolvable_difference=tuple(
            replace(row, difference=_possible(row.difference, most), observed=_possible(row.observed, most))
            for row in stats.smallest_resolvable_difference(total)
        ),
        seeds_needed=tuple(stats.seeds_needed(total, differences=_differences(unit, total))),
        last_bit_by_seed=tuple(one.truncated(0.0, most / 2) for one in stats.last_bit_by_seed(table)),
        loss=None if isinstance(loss, str) else loss,
        distribution=None if isinstance(distribution, str) else distribution,
        metrics=metric_spreads(metrics, records, arrays),
        not_measured={what: why for what, why in missing.items() if why},
    )


def _possible(difference: Estimate, most: float) -> Estimate:
    """Return a difference without what is more than the metric has."""
    if difference.estimate is not None and difference.estimate > most:
        return stats.not_measured("too few seeds to tell: it is more than the metric's whole range", difference.n)
    if difference.high is not None and difference.high > most:
        note = "; ".join(part for part in (difference.note, "the upper end is the metric's whole range") if part)
        return replace(difference, high=most, note=note)
    return difference


def _loss(records: Sequence[RunRecord]) -> tuple[LossSpread | str, str]:
    if not all(record.metrics.get("test_loss") for record in records):
        return "the runs report no test loss", ""
    counted, left_out = finite_runs(records, "test_loss")
    if not counted:
        return "the test loss is not finite in any run", ""
    components = stats.variance_components(table_of(counted, "test_loss"))
    return LossSpread(**vars(components), mean=mean_of(counted, "test_loss")), left_out


def _weight_distance(distances: Distances, records: Sequence[RunRecord], seeds: Sequence[int]) -> dict[str, Any]:
    runs = [record.run for record in records]
    if not (distances.exact or distances.sketched):
        missing = stats.not_measured("weight distance: the runs keep no weights", len(runs))
        return dict.fromkeys(_DISTANCE, missing)
    try:
        found = stats.weight_distance(runs, seeds, distance=distances.between)
    except LastbitError:
        missing = stats.not_measured("weight distance: the runs did not train the same finite weights", len(runs))
        return dict.fromkeys(_DISTANCE, missing)
    both = {"weight_distance_last_bit": found.last_bit, "weight_distance_seed": found.seed}
    return both if distances.exact else {name: _sketched(one, distances.error) for name, one in both.items()}


def _sketched(distance: Estimate, error: tuple[float, float]) -> Estimate:
    """Return a distance with what sketches leave open in its interval and its note."""
    if distance.estimate is None:
        return distance
    low, high = error
    least = None if distance.low is None else low * distance.low
    most = None if distance.high is None else high * distance.high
    open_by = f"relative L2, by sketches: the true one is {number(low, 2)} to {number(high, 3)} times as large"
    note = "; ".join(part for part in (distance.note, open_by) if part)
    return replace(distance, low=least, high=most, note=note).truncated(0.0, 2.0)


def _churn(records: Sequence[RunRecord], arrays: Arrays, seeds: Sequence[int]) -> dict[str, Any]:
    if len(records) < 2 or any("predictions" not in found for found in arrays):
        unseen = "the program does not show its predictions"
        why = unseen if arrays and "record_key" in arrays[0] else "the task has no classes to disagree on"
        reason = "needs two runs" if len(records) < 2 else why
        return dict.fromkeys(_CHURN, stats.not_measured(f"churn: {reason}", len(records)))
    found = stats.churn(np.stack([a["predictions"].astype(np.int64) for a in arrays]), seeds)
    values = tuple(tuple(row) for row in found.matrix.round(6).tolist())
    matrix = ChurnMatrix(runs=tuple(record.run for record in records), values=values)
    return {part: getattr(found, part) for part in _CHURN} | {"churn_matrix": matrix}


def _distribution(
    arrays: Arrays, seeds: Sequence[int], test_size: int | None, scale: float
) -> DistributionSpread | str:
    if len(arrays) < 2:
        return "it needs two runs"
    if test_size is None or any("per_example" not in found for found in arrays):
        return "the runs keep no score for each test example"
    if test_size < 2:
        return "it needs two test examples"
    # Right or wrong is stored as packed bits.
    rows = [found["per_example"] for found in arrays]
    scores = [np.unpackbits(row, count=test_size) if row.dtype == np.uint8 else row for row in rows]
    table_RN = np.stack(scores).astype(np.float64) * scale
    finite = np.isfinite(table_RN).all(axis=1)
    if np.count_nonzero(finite) < 2:
        return "it needs two runs with a finite score for each test example"
    return stats.distribution_spread(table_RN[finite], np.asarray(seeds)[finite])


def _differences(unit: str, sigma: Estimate) -> tuple[float, ...]:
    """Return the differences to plan for: tenths of a point, or round fractions of a metric that has no points."""
    if unit == "%" or not sigma.estimate:
        return (0.1, 0.2, 0.5, 1.0)
    size = 10.0 ** math.floor(math.log10(sigma.estimate))
    return tuple(size * times for times in (1.0, 2.0, 5.0, 10.0) if 0 < size * times < math.inf)
