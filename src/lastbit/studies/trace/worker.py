"""The trainings of a trace: rehearsed, trained in lock step from their branch to the end, and what they left kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from lastbit.core.errors import LastbitError
from lastbit.core.status import Role, RunStatus
from lastbit.dynamics.blow_up import blow_up
from lastbit.dynamics.divergence import Divergence, measure_divergence
from lastbit.report.formatting import number, plural, seconds
from lastbit.store import RunRecord
from lastbit.studies.frame.kind import DTYPES, Cell, Plan, Trained, Work
from lastbit.studies.frame.rehearsal import first_step
from lastbit.studies.trace.judged import rounding_arrays
from lastbit.studies.trace.kicks import kicked, kicked_runs
from lastbit.studies.trace.recorder import TraceRecorder
from lastbit.studies.trace.renormalise import LONGEST_STRIDE, renormalise
from lastbit.studies.trace.settings import TraceSettings
from lastbit.studies.trace.tangent_watch import TangentWatch
from lastbit.tasks import Task
from lastbit.train.twins import TwinPlan, Twins, check_branch, lock_step

__all__ = ["rehearse", "trace_twins", "train"]

PROBE = 512
"""Test samples on which the churn between twins is measured: its standard error is then at most 2.2 points."""


def rehearse(plan: Plan[TraceSettings], cell: Cell, task: Task) -> None:
    """Take one step of a base run and one twin.

    Raises:
        LastbitError: the task, the perturbation, the tangent or the chosen layer do not go together, or the task's own
            code raised.
    """
    settings = plan.settings_of(cell)
    check_branch(settings.from_step, task.total_steps)
    if settings.tangent and task.step is not None:
        raise LastbitError(f"--tangent follows the built-in step, but {task.name} has a step of its own: leave it out")
    small = settings.model_copy(update={"twins": 1, "from_step": 0})
    with first_step(task.name), _twins(task, small, plan.device) as (twins, _):
        convolutions = [name for name, x in twins.base.trained().items() if x.ndim >= 3]
        twins.advance(1)
        with twins.base.active():
            twins.base.evaluate()
    if settings.layer is not None and settings.layer not in convolutions:
        listed = f"choose one of {', '.join(convolutions)}" if convolutions else "this network has none"
        raise LastbitError(f"--layer {settings.layer!r} is not a convolution of {task.name}: {listed}")


@contextmanager
def _twins(task: Task, settings: TraceSettings, device: torch.device) -> Iterator[tuple[Twins, TangentWatch | None]]:
    """Lend the twins at their branch, the test set cut to the probe, with the watch on the base run if there is one."""
    probed = replace(task, test=task.test.subset(torch.arange(min(PROBE, len(task.test)))))
    watch = TangentWatch(probed) if settings.tangent else None
    plan = TwinPlan(twins=settings.twins, perturb=settings.perturb, seed=settings.seed, from_step=settings.from_step)
    base, dtype = watch.watched_task if watch else None, DTYPES[settings.dtype[0]]
    with lock_step(probed, plan, device=device, dtype=dtype, base=base) as twins:
        if watch is not None:
            if len(twins.base.optimizers) > 1:
                listed = ", ".join(twins.base.optimizers)
                raise LastbitError(f"--tangent follows one optimizer, but {task.name} has {listed}: leave it out")
            watch.attach(twins.base)
        yield twins, watch


def train(work: Work[TraceSettings]) -> Trained:
    """Train the base run of a cell, its repeat and its twins in lock step."""
    name = work.job.cell.name
    task, settings = work.task, work.settings
    runs, kicks = settings.twins + 2, kicked_runs(settings)
    own = runs / (runs + kicks)
    recorder, arrays, cost = trace_twins(task, settings, work.device, lambda step: work.progress(int(own * step)))
    if kicks:
        began, before = time.perf_counter(), own * task.total_steps
        arrays |= kicked(task, settings, work.device, lambda step: work.progress(int(before + (1 - own) * step)))
        cost["mechanism"] = round(time.perf_counter() - began, 3)
        cost["all"] += cost["mechanism"]
    labels = recorder.twins.labels
    work.files(name).arrays({**arrays, "label": np.array(labels[1:], dtype=np.str_)})
    records = []
    for index, label in enumerate(labels):
        role, twin = (Role.BASE, Role.REPEAT, Role.TWIN)[min(index, 2)], max(index - 1, 0)
        run, sketches = f"{name}-{role}{twin or ''}", recorder.sketches(index)
        work.files(run).arrays(sketches)
        status, message = _status(sketches)
        records.append(
            RunRecord(
                run=run,
                cell=work.job.cell.number,
                role=role,
                twin=twin,
                label=label,
                status=status,
                message=message,
                seconds=cost["all"] / len(labels),
                steps=recorder.probed_steps,
                metrics=recorder.probed_metrics(index),
            )
        )
    relative = number(float(np.mean(arrays["all_relative_l2"][1:, -1])), 3)
    measuring = seconds(cost["divergence"] + cost["sketches"] + cost["probe"])
    said = f"relative L2 {relative} after {plural(recorder.twins.position, 'step')}"
    spent = f"({seconds(cost['training'])} training, {measuring} measuring)"
    return Trained(records=tuple(records), facts={"cost": cost}, said=f"{said} {spent}")


def _status(sketches: dict[str, np.ndarray]) -> tuple[RunStatus, str]:
    status, message = blow_up(sketches["losses"])
    if status != RunStatus.DIVERGED and not math.isfinite(float(np.abs(sketches["values"][-1]).sum())):
        return RunStatus.DIVERGED, "weights are not finite at the end"
    return status, message


def trace_twins(
    task: Task, settings: TraceSettings, device: torch.device, on_step: Callable[[int], None]
) -> tuple[TraceRecorder, dict[str, np.ndarray], dict[str, float]]:
    """Train a base run, its exact repeat and perturbed twins, and measure how they part.

    The twins end early where the repeat differs from the base (nothing can be attributed to the last bit then) and
    where a weight or a difference is not finite (nothing more can be learnt).

    Args:
        task: what is trained.
        settings: which twins and measures; of one format.
        device: where to train.
        on_step: told the step reached, after each record.

    Returns:
        What was recorded; the arrays of the member, see `TraceRecorder.arrays` and `TangentWatch.arrays`, with
        `rounding_bound` (S,) and `single_rounding` (1,), both L2 distances over all weights, and `first_step_share`
        (K,), the share of weights that differ after the first step from the branch; and where the time went, in
        seconds.

    Raises:
        LastbitError: the branch lies beyond the training, or the tangent has no form for the optimizer or network.
    """
    began = time.perf_counter()
    with _twins(task, settings, device) as (twins, watch):
        recorder = TraceRecorder(twins, settings.every)
        removed = np.zeros(settings.twins + 1)
        recorder.take(removed)
        twins.advance(twins.start + 1)
        base, *others = twins.weights()
        # Twins may come together again before the next record: whether the perturbation landed is seen here.
        landed = measure_divergence(base, others).whole().share_differing[:, 0].cpu().numpy()
        going_on = True
        while going_on:
            target, taken = recorder.next_step(), np.zeros_like(removed)
            while settings.renormalise and twins.position < target:
                twins.advance(min(twins.position + LONGEST_STRIDE, target))
                taken[1:] += [renormalise(twins.base, twin) for twin in twins.trainings[2:]]
            removed += taken
            twins.advance(target)
            going_on = _worth_going_on(recorder.take(removed)) and twins.position < twins.total
            on_step(twins.position)
        arrays = recorder.arrays() | (watch.arrays() if watch else {})
        rounding = rounding_arrays(arrays["step"], arrays["all_norm"], DTYPES[settings.dtype[0]])
        arrays |= {"first_step_share": landed, **rounding}
    spent, whole = {**recorder.seconds, "tangent": watch.seconds if watch else 0.0}, time.perf_counter() - began
    spent |= {"all": whole, "training": whole - sum(spent.values())}
    return recorder, arrays, {name: round(value, 3) for name, value in spent.items()}


def _worth_going_on(found: Divergence) -> bool:
    repeats = not bool((found.differing[0] > 0).any())
    return repeats and bool(torch.isfinite(found.norm).all()) and bool(torch.isfinite(found.l2).all())
