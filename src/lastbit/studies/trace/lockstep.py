"""One set of twins from their branch to the end of training, in lock step and in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from lastbit.dynamics import Divergence, measure_divergence, rounding_bound, single_rounding
from lastbit.studies.frame.kind import DTYPES
from lastbit.studies.trace.recorder import TraceRecorder
from lastbit.studies.trace.renormalise import LONGEST_STRIDE, renormalise
from lastbit.studies.trace.settings import TraceSettings
from lastbit.studies.trace.tangent_watch import TangentWatch
from lastbit.tasks import Task
from lastbit.train.twins import TwinPlan, Twins, lock_step

__all__ = ["PROBE", "Traced", "trace_twins", "with_probe"]

Array = np.ndarray[Any, Any]

PROBE = 512
"""Test samples on which the churn between twins is measured: its standard error is then at most 2.2 points."""


@dataclass(frozen=True)
class Traced:
    """What one set of twins left.

    Attributes:
        arrays: of the member, see `TraceRecorder.arrays` and `TangentWatch.arrays`; with `log_removed` (K, S), the
            logarithms of what renormalisation took away, `rounding_bound` (S,) and `single_rounding` (1,), both L2
            distances over all weights, and `first_step_share` (K,), the share of weights that differ after the first
            step from the branch.
        sketches: of every run.
        labels: of every run.
        metrics: probed steps, and the metrics of every run at them.
        seconds: where the time went, by what it was spent on.
        reached: the last step taken.
    """

    arrays: dict[str, Array]
    sketches: list[dict[str, Array]]
    labels: tuple[str, ...]
    metrics: list[tuple[tuple[int, ...], dict[str, list[float]]]]
    seconds: dict[str, float]
    reached: int


def trace_twins(task: Task, settings: TraceSettings, device: torch.device, on_step: Callable[[int], None]) -> Traced:
    """Train a base run, its exact repeat and perturbed twins, and measure how they part.

    The twins end early where the repeat differs from the base (nothing can be attributed to the last bit then) and
    where a weight or a difference is not finite (nothing more can be learnt).

    Args:
        task: what is trained.
        settings: which twins and measures; of one format.
        device: where to train.
        on_step: told the step reached, after each record.

    Raises:
        LastbitError: the branch lies beyond the training, or the tangent has no form for the optimizer or network.
    """
    began = time.perf_counter()
    probed = with_probe(task)
    watch = TangentWatch(probed) if settings.tangent else None
    dtype = DTYPES[settings.dtype[0]]
    plan = TwinPlan(twins=settings.twins, perturb=settings.perturb, seed=settings.seed, from_step=settings.from_step)
    base_task = watch.watched_task if watch else None
    with lock_step(probed, plan, device=device, dtype=dtype, base=base_task) as twins:
        if watch is not None:
            watch.attach(twins.base)
        recorder = TraceRecorder(twins, settings.every)
        removed = np.zeros(settings.twins + 1)
        removals: dict[int, Array] = {}
        recorder.take()
        removals[twins.position] = removed.copy()
        twins.advance(twins.start + 1)
        base, *others = twins.weights()
        # Twins may come together again before the next record: whether the perturbation landed is seen here.
        landed = measure_divergence(base, others).whole().share_differing[:, 0].cpu().numpy()
        going_on = True
        while going_on:
            target = recorder.next_step()
            if settings.renormalise:
                removed += _advance_renormalised(twins, target)
            else:
                twins.advance(target)
            going_on = _worth_going_on(recorder.take()) and twins.position < twins.total
            removals[twins.position] = removed.copy()
            on_step(twins.position)
        arrays = recorder.arrays() | (dict(watch.arrays()) if watch else {})
        arrays["first_step_share"] = landed
        arrays["log_removed"] = np.stack([removals[int(step)] for step in arrays["step"]], axis=1)
        arrays |= _rounding(arrays, dtype)
        seconds = {**recorder.seconds, "tangent": watch.seconds if watch else 0.0}
        seconds["all"] = time.perf_counter() - began
        seconds["training"] = seconds["all"] - sum(value for name, value in seconds.items() if name != "all")
        runs = range(len(twins.trainings))
        return Traced(
            arrays,
            [recorder.sketches(run) for run in runs],
            twins.labels,
            [recorder.probed_metrics(run) for run in runs],
            {name: round(value, 3) for name, value in seconds.items()},
            twins.position,
        )


def with_probe(task: Task) -> Task:
    """Return the task with its test set cut to the first `PROBE` samples."""
    return replace(task, test=task.test.subset(torch.arange(min(PROBE, len(task.test)))))


def _worth_going_on(found: Divergence) -> bool:
    repeats = not bool((found.differing[0] > 0).any())
    return repeats and bool(torch.isfinite(found.norm).all()) and bool(torch.isfinite(found.l2).all())


def _advance_renormalised(twins: Twins, target: int) -> Array:
    """Advance to `target`, looking at every perturbed twin every few steps; return what was taken away per twin."""
    removed = np.zeros(len(twins.trainings) - 1)
    while twins.position < target:
        twins.advance(min(twins.position + LONGEST_STRIDE, target))
        for row, twin in enumerate(twins.trainings[2:], start=1):
            removed[row] += renormalise(twins.base, twin)
    return removed


def _rounding(arrays: dict[str, Array], dtype: torch.dtype) -> dict[str, Array]:
    steps, norm = arrays["step"], arrays["all_norm"]
    # A training that diverges ends with one norm that is not finite; nothing is explained there.
    finite = int(np.isfinite(norm).sum())
    bound = np.full(len(steps), np.nan)
    with np.errstate(over="ignore"):
        bound[:finite] = rounding_bound(steps[:finite], norm[:finite], dtype)
    return {"rounding_bound": bound, "single_rounding": np.array([single_rounding(float(norm[0]), dtype)])}
