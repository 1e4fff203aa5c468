"""The cells of a sweep under way: which are left to train, in which processes, what is kept of those that end."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lastbit.core.status import Role, RunStatus
from lastbit.core.threads import needs_threads, weight_count
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.eos.config import Cell, EosConfig
from lastbit.studies.eos.worker import CellWorkerFactory, Trained
from lastbit.studies.frame.execution import choose_execution, interrupted
from lastbit.studies.frame.program import Program
from lastbit.studies.frame.progress import GridProgress, grid_progress
from lastbit.tasks import Task
from lastbit.train import Crashed, Event, Finished, Job, Progressed, Started

__all__ = ["train_cells"]


def train_cells(
    folder: StudyFolder,
    task: Task | None,
    config: EosConfig,
    sweep: Sequence[tuple[Cell, Task]],
    *,
    workers: int | None,
    quiet: bool,
) -> None:
    """Train the cells that are not in yet, and keep each in the study as it ends.

    Args:
        folder: the study, opened to write.
        task: the Task object that is followed; None where the settings say what is trained.
        config: the settings.
        sweep: every cell with its task.
        workers: number of processes; None measures.
        quiet: show no progress.

    Raises:
        LastbitError: something that no other cell would get past, or the user interrupted.
    """
    there = {record.run for record in folder.runs()}
    left = [Job(name=cell.name, payload=cell) for cell, _ in sweep if cell.name not in there]
    total, runs = folder.facts["task"]["steps"], 1 if config.twins == 0 else config.twins + 2
    beside = f"base, exact repeat, {config.twins} twins" if config.twins else "no twins"
    # The largest network says best what the sweep's time is spent on.
    sample = max(sweep, key=lambda pair: weight_count(pair[1].model))[0]
    factory = CellWorkerFactory(folder.path.absolute(), task, config, sample)
    try:
        with grid_progress(runs=len(sweep), done=len(there), steps=total, quiet=quiet) as progress:
            progress.event(
                f"edge of stability of {len(sweep)} training(s) x {runs} run(s) ({beside}), {total} steps, "
                f"into {folder.path}"
            )
            if not left:
                return
            large = any(needs_threads(built.model, built.batch_size) for _, built in sweep)
            threads = torch.get_num_threads() if large else 1
            executor = choose_execution(
                folder,
                factory,
                workers,
                len(left),
                progress,
                travels=task is None or Program(task).travels,
                begun=bool(there),
                threads=threads,
            )
            numbers = {cell.name: number for number, (cell, _) in enumerate(sweep)}
            executor.run(left, lambda event: _on_event(folder, event, progress, numbers[event.job.name]))
    except KeyboardInterrupt:
        raise interrupted(folder, len(folder.runs()), len(sweep), "trainings") from None


def _on_event(folder: StudyFolder, event: Event, progress: GridProgress, number: int) -> None:
    cell: Cell = event.job.payload
    name = cell.label or "training"
    if isinstance(event, Started):
        progress.started(name, event.attempt)
    elif isinstance(event, Progressed):
        progress.progressed(name, event.state)
    elif isinstance(event, Crashed):
        # Not recorded as a run, so that --resume tries it again.
        folder.event("crashed", event.message, cell.name)
        if event.final:
            progress.finished(name, f"crashed ({event.message})", "")
    elif isinstance(event, Finished):
        trained: Trained = event.result
        _keep(folder, number, cell, event.attempt, trained)
        ratios = trained.metrics["ratio"]
        at_end = f"sharpness {ratios[-1]:.3g} of its limit" if ratios else ""
        progress.finished(name, at_end if trained.status == RunStatus.OK else trained.message, "")


def _keep(folder: StudyFolder, number: int, cell: Cell, attempts: int, trained: Trained) -> None:
    """Make a training visible, whose arrays are in place."""
    folder.add(
        RunRecord(
            run=cell.name,
            cell=number,
            role=Role.BASE,
            label=cell.label or "base",
            attempts=attempts,
            status=trained.status,
            message=trained.message,
            seconds=trained.seconds,
            steps=trained.steps,
            metrics=trained.metrics,
        )
    )
