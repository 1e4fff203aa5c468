"""The edge of stability: sharpness against the optimizer's limit along a training, twins in lock step beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from lastbit.core.threads import weight_count
from lastbit.report.formatting import plural
from lastbit.studies.eos.cells import edge_cells, edge_defaults, settled
from lastbit.studies.eos.page import eos_page
from lastbit.studies.eos.result import EosResult, EosStudy, conclude
from lastbit.studies.eos.settings import EosSettings
from lastbit.studies.eos.worker import rehearse, train
from lastbit.studies.frame.kind import Cell, Kind, Plan
from lastbit.studies.frame.make import make
from lastbit.tasks import Task

__all__ = ["EOS", "Numbers", "eos"]

Numbers: TypeAlias = float | str | Sequence[float | str] | None
"""One value, or the values along an axis of a sweep."""


def _steps(settings: EosSettings, task: Task) -> int:
    return min(settings.steps or task.total_steps, task.total_steps)


def _sample(plan: Plan[EosSettings], tasks: Mapping[int, Task]) -> Cell:
    """Return the cell of the largest network: it says best what the sweep's time is spent on."""
    return max(plan.cells, key=lambda cell: weight_count(tasks[cell.number].model))


def _announce(settings: EosSettings, jobs: int, steps: int) -> str:
    twins = settings.twins
    beside = f"base, exact repeat, {plural(twins, 'twin')}" if twins else "no twins"
    runs = plural(twins + 2 if twins else 1, "run")
    return f"edge of stability of {plural(jobs, 'training')} x {runs} ({beside}), {plural(steps, 'step')},"


EOS = Kind(
    name="eos",
    called="an edge-of-stability study",
    settings=EosSettings,
    result=EosResult,
    study=EosStudy,
    defaults=edge_defaults,
    settle=settled,
    cells=edge_cells,
    rehearse=rehearse,
    train=train,
    steps=_steps,
    sample=_sample,
    announce=_announce,
    conclude=conclude,
    page=eos_page,
)
"""The kind of study that `lastbit eos` makes."""


def eos(
    task: str | Task | None = None,
    *,
    steps: int | None = None,
    seed: int | None = None,
    seeds: int | None = None,
    twins: int | None = None,
    perturb: Literal["rescale", "ulp", "rounding", "reorder"] | None = None,
    every: int | None = None,
    probe_size: int | None = None,
    flow: bool | None = None,
    dtype: Literal["float32", "float64"] | None = None,
    device: str | None = None,
    model: str | None = None,
    depth: Numbers = None,
    width: Numbers = None,
    kernel: Numbers = None,
    activation: str | None = None,
    loss: str | None = None,
    optimizer: str | None = None,
    lr: Numbers = None,
    momentum: Numbers = None,
    nesterov: bool | None = None,
    weight_decay: Numbers = None,
    schedule: str | None = None,
    batch_size: int | None = None,
    train_size: int | None = None,
    data_root: str | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    workers: int | None = None,
    threads: int | None = None,
    quiet: bool = False,
) -> EosStudy:
    """Follow trainings along their edge of stability: sharpness against the optimizer's limit, twins beside it.

    Trains each cell of the sweep with an exact repeat and `twins` perturbed twins in lock step, and measures the
    sharpness every `every` steps. With no settings: full-batch gradient descent at a rate of 0.1 on 600 digits. What is
    None takes its default: see `EosSettings` for the study's settings and `TaskConfig` for the task's. `lr`,
    `momentum`, `weight_decay`, `depth`, `width` and `kernel` may be sequences, and make a sweep; so does `seeds` above
    1. Of a task in a file they are arguments of its function.

    Args:
        task: name of a built-in task (`"digits"`), `"FILE.py:FUNCTION"`, or a `Task`.
        steps: optimizer steps.
        seed: of the training, the first of several.
        seeds: how many to train every combination with.
        twins: perturbed runs in addition to the base run and its exact repeat.
        perturb: how the last bit is perturbed.
        every: steps between measurements.
        probe_size: training examples that curvature is measured on.
        flow: follow the gradient flow too.
        dtype: format of the weights.
        device: where to train.
        model: network, as the settings after it one of the task's: see `lastbit.tasks.TaskConfig`.
        depth: see there.
        width: see there.
        kernel: see there.
        activation: see there.
        loss: see there.
        optimizer: see there.
        lr: see there.
        momentum: see there.
        nesterov: see there.
        weight_decay: see there.
        schedule: see there.
        batch_size: see there; all examples by default.
        train_size: see there.
        data_root: see there.
        out: folder of the study, new or empty; by default the next free `lastbit-studies/eos-TASK-NNN`.
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
        >>> study = eos("digits", weight_decay=(0, 0.01), steps=600, quiet=True)  # doctest: +SKIP
        >>> study.result.ratio_tail.estimate  # doctest: +SKIP
        1.03
    """
    asked: dict[str, Any] = locals()
    return cast(EosStudy, make(EOS, **asked))
