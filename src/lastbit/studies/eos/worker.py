"""The trainings of an edge-of-stability study: rehearsed, followed in lock step, and what they left kept on disk."""

from __future__ import annotations

import time
from dataclasses import replace

from lastbit.core.errors import LastbitError
from lastbit.core.status import Role, RunStatus
from lastbit.report.formatting import number, plural
from lastbit.store import RunRecord
from lastbit.studies.eos.flow import gradient_flow
from lastbit.studies.eos.follow import follow
from lastbit.studies.eos.settings import EosSettings
from lastbit.studies.frame.kind import DTYPES, Cell, Plan, Trained, Work
from lastbit.studies.frame.rehearsal import first_step
from lastbit.tasks import Task
from lastbit.train.closed_loss import check_closed_loss

__all__ = ["rehearse", "train"]


def rehearse(plan: Plan[EosSettings], cell: Cell, task: Task) -> None:
    """Take one measured step of a cell.

    Raises:
        LastbitError: the task, its optimizer or its loss cannot be measured, or the task's own code raised.
    """
    settings = plan.settings_of(cell)
    steps = min(settings.steps or task.total_steps, task.total_steps)
    if settings.every > steps:
        raise LastbitError(
            f"--every = {settings.every}: the training has {plural(steps, 'step')}, so nothing would be measured; "
            f"write at most {steps}"
        )
    short = settings.model_copy(update={"steps": 1, "every": 1, "twins": min(settings.twins, 1)})
    name = f"{task.name} ({cell.label})" if cell.label else task.name
    with first_step(name):
        check_closed_loss(task, device=plan.device, dtype=DTYPES[settings.dtype])
        follow(replace(task, epochs=1), short, device=plan.device, looks=False)


def train(work: Work[EosSettings]) -> Trained:
    """Follow one cell and write its arrays."""
    began = time.monotonic()
    cell, task, settings = work.job.cell, work.task, work.settings
    found = follow(task, settings, device=work.device, on_step=work.progress)
    arrays = found.arrays
    if settings.flow and found.status == RunStatus.OK:
        steps = arrays["train_loss"].shape[1]
        arrays |= gradient_flow(task, seed=settings.seed, steps=steps, device=work.device)
    work.files(cell.name).arrays(arrays)
    record = RunRecord(
        run=cell.name,
        cell=cell.number,
        role=Role.BASE,
        label=cell.label or "base",
        status=found.status,
        message=found.message,
        seconds=time.monotonic() - began,
        steps=tuple(arrays["step"].tolist()),
        metrics={name: arrays[name].tolist() for name in ("sharpness", "limit", "ratio", "loss")},
    )
    ratios = record.metrics["ratio"]
    at_end = f"learning rate {number(ratios[-1], 3)} of the largest stable" if ratios else ""
    said = at_end if found.status == RunStatus.OK else found.message
    return Trained(records=(record,), said=f"{cell.label}: {said}" if cell.label else said)
