"""The worker of a sweep: follows one cell after another, in whichever process it was made."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lastbit.core.status import RunStatus
from lastbit.core.threads import suitable_threads
from lastbit.store import RunFiles
from lastbit.studies.eos.config import Cell, EosConfig
from lastbit.studies.eos.flow import gradient_flow
from lastbit.studies.eos.follow import Followed, follow
from lastbit.studies.eos.stable_rows import stable_arrays
from lastbit.studies.eos.workload import build_cell
from lastbit.studies.frame.execution import now_and_then
from lastbit.studies.frame.settings import DTYPES
from lastbit.tasks import Task
from lastbit.train import resolve_device, step_seconds

__all__ = ["CellWorker", "CellWorkerFactory", "Trained", "cell_task"]

_METRICS = ("sharpness", "limit", "ratio", "loss")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What is known of a followed cell beside its arrays, which are in place when this is returned."""

    status: RunStatus
    message: str
    seconds: float
    steps: tuple[int, ...]
    metrics: dict[str, list[float]]


def cell_task(task: Task | None, config: EosConfig, cell: Cell) -> Task:
    """Return what a cell trains: the `Task` that was given, or what its settings say."""
    return task if task is not None else build_cell(config, cell)


@dataclass(frozen=True)
class CellWorkerFactory:
    """Makes the worker of one process.

    Attributes:
        folder: of the study.
        task: a Task object; None where the settings say what is trained.
        config: the settings.
        sample: the cell whose training steps are timed to choose how the sweep is executed.
    """

    folder: Path
    task: Task | None
    config: EosConfig
    sample: Cell

    def __call__(self) -> CellWorker:
        """Make the worker."""
        return CellWorker(self)


class CellWorker:
    """Follows the cells of a sweep, one after another."""

    def __init__(self, plan: CellWorkerFactory) -> None:
        self._plan = plan
        self._device = resolve_device(plan.config.device)

    def run(self, cell: Cell, progress: Callable[[int], None]) -> Trained:
        """Follow one cell and write its arrays; `progress` receives the number of steps taken, a few times a second."""
        began = time.monotonic()
        plan = self._plan
        task = cell_task(plan.task, plan.config, cell)
        config = plan.config.model_copy(update={"seed": cell.seed})

        with suitable_threads(task.model, task.batch_size):
            found = follow(task, config, device=self._device, on_step=now_and_then(progress))
            if config.flow and found.status == RunStatus.OK:
                found.arrays |= gradient_flow(task, seed=config.seed, steps=found.steps, device=self._device)
        RunFiles(plan.folder, cell.name).arrays(found.arrays | stable_arrays(found.stable))
        return _trained(found, time.monotonic() - began)

    def step_seconds(self) -> float:
        """Measure one training step of the sample cell."""
        plan = self._plan
        task = cell_task(plan.task, plan.config, plan.sample)
        with suitable_threads(task.model, task.batch_size):
            return step_seconds(task, device=self._device, dtype=DTYPES[plan.config.dtype])


def _trained(found: Followed, seconds: float) -> Trained:
    return Trained(
        status=found.status,
        message=found.message,
        seconds=seconds,
        steps=tuple(int(step) for step in found.arrays["step"]),
        metrics={name: [float(value) for value in found.arrays[name]] for name in _METRICS},
    )
