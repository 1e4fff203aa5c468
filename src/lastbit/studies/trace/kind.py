"""The trace: twins of a training in lock step, and where, when and how far one bit was amplified between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.frame.control import Difference
from lastbit.studies.frame.kind import Cell, Job, Kind, Plan
from lastbit.studies.frame.make import make
from lastbit.studies.frame.program import Program
from lastbit.studies.trace.cells import check_scaled_time, trace_cells
from lastbit.studies.trace.page import trace_page
from lastbit.studies.trace.result import TraceResult, conclude
from lastbit.studies.trace.settings import TraceSettings
from lastbit.studies.trace.study import TraceStudy
from lastbit.studies.trace.twins_found import repeat_differs
from lastbit.studies.trace.worker import rehearse, train
from lastbit.tasks import Task

__all__ = ["TRACE", "trace"]


def _settle(settings: TraceSettings, program: Program) -> TraceSettings:
    check_scaled_time(settings, program)
    return settings


def _jobs(plan: Plan[TraceSettings]) -> list[Job]:
    return [Job(cell=cell, run=f"{cell.name}-base", label=cell.label) for cell in plan.cells]


def _announce(settings: TraceSettings, jobs: int, steps: int) -> str:
    twins = settings.twins
    return f"trace of {jobs} x {twins + 2} runs in lock step (base, exact repeat, {twins} twins), {steps} steps,"


def _differs(folder: StudyFolder, records: Mapping[str, RunRecord], cell: Cell) -> Difference | None:
    there = f"{cell.name}-base" in records
    return repeat_differs(cell.number, folder.arrays(cell.name)) if there else None


TRACE = Kind(
    name="trace",
    called="a trace",
    settings=TraceSettings,
    result=TraceResult,
    study=TraceStudy,
    settle=_settle,
    cells=trace_cells,
    jobs=_jobs,
    rehearse=rehearse,
    train=train,
    announce=_announce,
    differs=_differs,
    conclude=conclude,
    page=trace_page,
)
"""The kind of study that `lastbit trace` makes."""


def trace(
    task: str | Task | None = None,
    *,
    twins: int | None = None,
    every: int | None = None,
    from_step: int | None = None,
    renormalise: bool | None = None,
    tangent: bool | None = None,
    scaled_time: bool | None = None,
    layer: str | None = None,
    perturb: Literal["rescale", "ulp", "rounding", "reorder"] | None = None,
    seed: int | None = None,
    lr: float | str | Sequence[float | str] | None = None,
    dtype: str | Sequence[str] | None = None,
    device: str | None = None,
    model: str | None = None,
    optimizer: str | None = None,
    momentum: float | None = None,
    nesterov: bool | None = None,
    weight_decay: float | None = None,
    schedule: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    train_size: int | None = None,
    norm: str | None = None,
    activation: str | None = None,
    width: int | None = None,
    depth: int | None = None,
    kernel: int | None = None,
    loss: str | None = None,
    augment: str | None = None,
    data_root: str | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    workers: int | None = None,
    threads: int | None = None,
    quiet: bool = False,
) -> TraceStudy:
    """Find where and when one bit was amplified in a training, and whether its growth is restrained.

    Trains a base run, its exact repeat and `twins` runs perturbed in the last bit from the same state, in lock step,
    and measures at recorded steps, tensor by tensor, how far each has come from the base. Costs about `twins + 2`
    trainings in time. What is None takes its default: see `TraceSettings` for the study's settings and `TaskConfig`
    for the task's.

    Args:
        task: name of a built-in task (`"digits"`), `"FILE.py:FUNCTION"`, or a `Task`.
        twins: perturbed runs in addition to the base run and its exact repeat.
        every: steps between records.
        from_step: the step at which the twins branch off the base run.
        renormalise: bring a twin back to its base whenever it has moved away; measures the growth rate only.
        tangent: carry a tangent along the base run.
        scaled_time: scale the epochs of a sweep so that `lr x steps` stays the same.
        layer: convolution whose filters the report maps.
        perturb: how the last bit is perturbed.
        seed: of the training.
        lr: learning rate; several make a sweep.
        dtype: format of the weights; several make a sweep.
        device: where to train.
        model: network, as the settings after it one of the task's: see `lastbit.tasks.TaskConfig`.
        optimizer: see there.
        momentum: see there.
        nesterov: see there.
        weight_decay: see there.
        schedule: see there.
        epochs: see there.
        batch_size: see there.
        train_size: see there.
        norm: see there.
        activation: see there.
        width: see there.
        depth: see there.
        kernel: see there.
        loss: see there.
        augment: see there.
        data_root: see there.
        out: folder of the study, new or empty; by default the next free `lastbit-studies/trace-TASK-NNN`.
        resume: folder of a sweep that was interrupted, in place of `out`; its finished trainings are not repeated.
        workers: number of processes that share the trainings of a sweep, with one thread each; 1 stays in this
            process; None measures both ways.
        threads: of each process for one operation, which decide the order of sums; None measures, and takes one for
            small networks.
        quiet: show no progress.

    Returns:
        The finished study.

    Raises:
        LastbitError: a setting, the task or the folder is invalid; or the user interrupted (finished trainings are
            safe).

    Example:
        >>> study = trace("digits", epochs=5, quiet=True)  # doctest: +SKIP
        >>> study.result.verdict_kind, study.result.first_difference  # doctest: +SKIP
    """
    asked: dict[str, Any] = locals()
    return cast(TraceStudy, make(TRACE, **asked))
