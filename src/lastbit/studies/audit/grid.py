"""The runs of an audit, and the worker that does them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lastbit.core.seeds import stream_seed
from lastbit.perturb import Perturbation, make_perturbation
from lastbit.store import RunFiles
from lastbit.studies.frame.execution import now_and_then
from lastbit.studies.frame.settings import DTYPES, AuditConfig
from lastbit.tasks import Task, TaskConfig, build_task
from lastbit.train import Job, RunOutcome, resolve_device, run_training, step_seconds, streams

__all__ = ["GridRun", "GridWorkerFactory", "grid"]


@dataclass(frozen=True, kw_only=True)
class GridRun:
    """One cell of the grid: a seed, a perturbation (0 for none), or the exact repeat of a seed's unperturbed run."""

    seed: int
    perturbation: int
    control: bool = False

    @property
    def name(self) -> str:
        """Name of the run, and of its files."""
        return f"seed{self.seed:03d}-" + ("repeat" if self.control else f"p{self.perturbation:03d}")


def grid(config: AuditConfig) -> list[Job]:
    """Return the runs in the order in which they are started.

    The first seed's unperturbed run and its repeat come first: where a repeat does not match, nothing else needs to be
    trained to know it.
    """
    order = [
        (cell.perturbation > 0, cell.seed, cell.perturbation, cell.control, cell)
        for seed in range(config.seeds)
        for cell in (
            *(GridRun(seed=seed, perturbation=index) for index in range(config.perturbations)),
            GridRun(seed=seed, perturbation=0, control=True),
        )
    ]
    return [Job(name=cell.name, payload=cell) for *_, cell in sorted(order, key=lambda row: row[:-1])]


def perturbation_of(cell: GridRun, kind: str, total_steps: int) -> Perturbation:
    """Return the perturbation of a cell; each seed and index draws from a stream of its own."""
    return make_perturbation(
        kind, cell.perturbation, seed=stream_seed(cell.seed, "perturbation"), total_steps=total_steps
    )


@dataclass(frozen=True)
class GridWorkerFactory:
    """Makes the worker of one process; builds the task there, once.

    `task` is the resolved settings of a built-in task or of a file's, or a Task object.
    """

    folder: Path
    task: TaskConfig | Task
    config: AuditConfig
    checkpoint_seconds: float

    def __call__(self) -> GridWorker:
        """Make the worker."""
        return GridWorker(self, self.task if isinstance(self.task, Task) else build_task(self.task))


class GridWorker:
    """Does the runs of a grid, one after another."""

    def __init__(self, plan: GridWorkerFactory, task: Task) -> None:
        self._plan = plan
        self._task = task
        self._device = resolve_device(plan.config.device)
        self._dtype = DTYPES[plan.config.dtype]

    def run(self, cell: GridRun, progress: Callable[[int], None]) -> RunOutcome:
        """Train one cell; `progress` receives the number of steps taken, a few times a second."""
        task, config = self._task, self._plan.config
        return run_training(
            task,
            streams(cell.seed, config.vary),
            perturbation_of(cell, config.perturb, task.total_steps),
            device=self._device,
            dtype=self._dtype,
            recorder=RunFiles(self._plan.folder, cell.name),
            checkpoint_seconds=self._plan.checkpoint_seconds,
            on_step=now_and_then(progress),
        )

    def step_seconds(self) -> float:
        """Measure one training step."""
        return step_seconds(self._task, device=self._device, dtype=self._dtype)
