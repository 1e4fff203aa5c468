"""The trainings of a trace: rehearsed, trained in lock step, and what they left kept on disk."""

from __future__ import annotations

import math

import numpy as np

from lastbit.core.errors import LastbitError
from lastbit.core.status import Role, RunStatus
from lastbit.report.formatting import number, plural, seconds
from lastbit.store import RunRecord
from lastbit.studies.frame.kind import DTYPES, Cell, Plan, Trained, Work
from lastbit.studies.frame.rehearsal import first_step
from lastbit.studies.trace.lockstep import Traced, trace_twins, with_probe
from lastbit.studies.trace.settings import TraceSettings
from lastbit.studies.trace.tangent_watch import TangentWatch
from lastbit.train.twins import TwinPlan, lock_step

__all__ = ["rehearse", "train"]


def rehearse(plan: Plan[TraceSettings], cell: Cell) -> None:
    """Take one step of a base run and one twin.

    Raises:
        LastbitError: the task, the perturbation, the tangent or the chosen layer do not go together, or the task's own
            code raised.
    """
    task, settings = plan.task(cell), plan.settings_of(cell)
    if settings.from_step >= task.total_steps:
        raise LastbitError(
            f"--from-step = {settings.from_step}: the training has {task.total_steps} steps; write at most "
            f"{task.total_steps - 1}"
        )
    probed = with_probe(task)
    watch = TangentWatch(probed) if settings.tangent else None
    small = TwinPlan(twins=1, perturb=settings.perturb, seed=settings.seed)
    base, dtype = watch.watched_task if watch else None, DTYPES[settings.dtype[0]]
    with first_step(task.name), lock_step(probed, small, device=plan.device, dtype=dtype, base=base) as twins:
        convolutions = [name for name, x in twins.base.trained().items() if x.ndim >= 3]
        if watch is not None:
            watch.attach(twins.base)
        twins.advance(1)
        with twins.base.active():
            twins.base.evaluate()
    if settings.layer is not None and settings.layer not in convolutions:
        listed = f"choose one of {', '.join(convolutions)}" if convolutions else "this network has none"
        raise LastbitError(f"--layer {settings.layer!r} is not a convolution of {task.name}: {listed}")


def train(work: Work[TraceSettings]) -> Trained:
    """Train the base run of a cell, its repeat and its twins in lock step."""
    name = work.job.cell.name
    traced = trace_twins(work.task, work.settings, work.device, work.progress)
    work.files(name).arrays({**traced.arrays, "label": np.array(traced.labels[1:], dtype=np.str_)})
    records = []
    for index, sketches in enumerate(traced.sketches):
        role = (Role.BASE, Role.REPEAT)[index] if index < 2 else Role.TWIN
        run = f"{name}-{role}{index - 1}" if role == Role.TWIN else f"{name}-{role}"
        work.files(run).arrays(sketches)
        status, message = _status(traced, index)
        steps, metrics = traced.metrics[index]
        records.append(
            RunRecord(
                run=run,
                cell=work.job.cell.number,
                role=role,
                twin=max(index - 1, 0),
                label=traced.labels[index],
                status=status,
                message=message,
                seconds=traced.seconds["all"] / len(traced.sketches),
                steps=steps,
                metrics=metrics,
            )
        )
    return Trained(records=tuple(records), facts={"cost": traced.seconds}, said=_said(traced))


def _said(traced: Traced) -> str:
    relative = float(np.mean(traced.arrays["all_relative_l2"][1:, -1]))
    cost = traced.seconds
    measuring = cost["divergence"] + cost["sketches"] + cost["probe"]
    return (
        f"relative L2 {number(relative, 3)} after {plural(traced.reached, 'step')} "
        f"({seconds(cost['training'])} training, {seconds(measuring)} measuring)"
    )


def _status(traced: Traced, index: int) -> tuple[RunStatus, str]:
    losses = traced.sketches[index]["losses"]
    broken = np.flatnonzero(~np.isfinite(losses))
    if len(broken):
        return RunStatus.DIVERGED, f"the training loss is not finite from step {int(broken[0]) + 1} on"
    if not math.isfinite(float(np.abs(traced.sketches[index]["values"][-1]).sum())):
        return RunStatus.DIVERGED, "weights are not finite at the end"
    return RunStatus.OK, ""
