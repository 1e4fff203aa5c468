"""The audit: a grid of seeds by last-bit perturbations, with an exact repeat per seed, trained and kept on disk."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from lastbit.core.status import Role, RunStatus
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.audit.grid import GridRun, GridWorkerFactory, grid, perturbation_of
from lastbit.studies.audit.plan import plan, rehearse, study_facts
from lastbit.studies.audit.result import conclude
from lastbit.studies.audit.study import AuditStudy
from lastbit.studies.frame.control import compare_repeat
from lastbit.studies.frame.environment import environment
from lastbit.studies.frame.execution import check_workers, choose_execution, interrupted
from lastbit.studies.frame.folders import begin_study, stored_facts
from lastbit.studies.frame.program import Program
from lastbit.studies.frame.progress import GridProgress, grid_progress
from lastbit.tasks import Task, build_task
from lastbit.train import (
    Crashed,
    Event,
    Finished,
    Job,
    Progressed,
    Started,
    resolve_device,
)

__all__ = ["audit"]


class _NotReproducible(Exception):
    """A repeat did not match: nothing more needs to be trained."""


def audit(
    task: str | Task | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    workers: int | None = None,
    quiet: bool = False,
    checkpoint_seconds: float = 20.0,
    **settings: Any,
) -> AuditStudy:
    """Measure how much of a training's result is the last floating-point bit.

    Trains `seeds` x `perturbations` runs, and one exact repeat of the unperturbed run per seed as control; see
    `AuditStudy` for what comes out. Runs are kept in a study folder as they finish.

    Args:
        task: name of a built-in task (`"digits"`), `"FILE.py:FUNCTION"`, or a `Task`.
        out: folder of the study, new or empty; by default the next free `lastbit-studies/audit-TASK-NNN`.
        resume: folder of an unfinished study to continue, in place of `out`.
        workers: number of processes; 1 stays in this process with all threads; None measures both ways.
        quiet: show no progress.
        checkpoint_seconds: time between the checkpoints of a run.
        **settings: `seeds`, `perturbations`, `perturb`, `vary`, `dtype`, `device` and the settings of the task
            (`lr`, `epochs`, …).

    Returns:
        The finished study.

    Raises:
        LastbitError: a setting, the task or the folder does not do; or the user interrupted (finished runs are safe).

    Example:
        >>> study = audit("digits", seeds=2, perturbations=2, epochs=1, quiet=True)  # doctest: +SKIP
        >>> study.verdict  # doctest: +SKIP
    """
    check_workers(workers)
    stored = stored_facts("audit", "an audit", out, resume)
    source, config = plan(task, settings, stored)
    built = source if isinstance(source, Task) else build_task(source)
    device = resolve_device(config.device)
    built.check()
    rehearse(built, config, device)
    facts = study_facts(source, built, config, environment(device))
    with begin_study(facts, stored, out, resume) as folder:
        factory = GridWorkerFactory(folder.path.absolute(), source, config, checkpoint_seconds)
        _Audit(folder, factory, workers, built.total_steps, built.metric.name, built.metric.unit).run(quiet=quiet)
        folder.save_result(conclude(folder).to_json())
    return AuditStudy(folder.path)


class _Audit:
    """The grid under way: which runs are left, what is recorded of those that end."""

    def __init__(
        self, folder: StudyFolder, factory: GridWorkerFactory, workers: int | None, steps: int, metric: str, unit: str
    ) -> None:
        self.folder, self.factory, self.workers = folder, factory, workers
        self.steps, self.metric, self.unit = steps, metric, unit
        self.records = {record.run: record for record in folder.runs() if record.status != RunStatus.CRASHED}

    def run(self, *, quiet: bool) -> None:
        """Train what is left, unless a repeat does not match."""
        jobs = grid(self.factory.config)
        left = [job for job in jobs if job.name not in self.records]
        done = len(jobs) - len(left)
        try:
            with grid_progress(runs=len(jobs), done=done, steps=self.steps, quiet=quiet) as progress:
                progress.event(f"audit of {len(jobs)} runs x {self.steps} steps into {self.folder.path}")
                if done:
                    progress.event(f"{done} runs are already there")
                for seed in range(self.factory.config.seeds):
                    self._check_control(seed)
                if left:
                    self._execute(left, progress)
        except _NotReproducible:
            pass
        except KeyboardInterrupt:
            raise interrupted(self.folder, len(self.records), len(jobs), "runs") from None

    def _execute(self, left: list[Job], progress: GridProgress) -> None:
        executor = choose_execution(
            self.folder,
            self.factory,
            self.workers,
            len(left),
            progress,
            travels=not isinstance(self.factory.task, Task) or Program(self.factory.task).travels,
            begun=bool(self.records),
        )
        executor.run(left, lambda event: self._on_event(event, progress))

    def _on_event(self, event: Event, progress: GridProgress) -> None:
        name, cell = event.job.name, event.job.payload
        if isinstance(event, Started):
            progress.started(name, event.attempt)
        elif isinstance(event, Progressed):
            progress.progressed(name, event.state)
        elif isinstance(event, Crashed):
            self.folder.event("crashed", event.message, name)
            progress.event(f"{name} crashed ({event.message}); " + ("given up" if event.final else "trying once more"))
            if event.final:
                self._record(cell, RunStatus.CRASHED, event.attempt, event.message)
                progress.finished(name, "crashed", self._spread())
        elif isinstance(event, Finished):
            outcome = event.result
            self._record(
                cell,
                outcome.status,
                event.attempt,
                outcome.message,
                seconds=outcome.seconds,
                steps=outcome.steps,
                metrics=outcome.metrics,
            )
            final = outcome.metrics[self.metric][-1] if outcome.metrics[self.metric] else math.nan
            said = f"{self.metric} {final:.4g}{self.unit}" if outcome.status == RunStatus.OK else outcome.message
            progress.finished(name, said, self._spread())
            self._check_control(cell.seed)

    def _record(self, cell: GridRun, status: RunStatus, attempts: int, message: str, **outcome: Any) -> None:
        config = self.factory.config
        label = "repeat" if cell.control else perturbation_of(cell, config.perturb, self.steps).label
        record = RunRecord(
            run=cell.name,
            cell=cell.seed,
            role=Role.REPEAT if cell.control else Role.TWIN if cell.perturbation else Role.BASE,
            twin=cell.perturbation,
            label=label,
            status=status,
            attempts=attempts,
            message=message,
            **outcome,
        )
        self.folder.add(record)
        self.records[record.run] = record

    def _check_control(self, seed: int) -> None:
        base = self.records.get(GridRun(seed=seed, perturbation=0).name)
        repeat = self.records.get(GridRun(seed=seed, perturbation=0, control=True).name)
        if base and repeat and RunStatus.CRASHED not in (base.status, repeat.status):
            difference = compare_repeat(self.folder, base, repeat)
            if difference is not None:
                self.folder.event("not reproducible", f"{difference}", repeat.run)
                raise _NotReproducible

    def _spread(self) -> str:
        """Return the spread over perturbations so far, in few words."""
        by_seed: dict[int, list[float]] = {}
        for record in self.records.values():
            if record.status == RunStatus.OK and record.role != Role.REPEAT:
                by_seed.setdefault(record.cell, []).append(record.metrics[self.metric][-1])
        squares = sum(float(np.var(values)) * len(values) for values in by_seed.values())
        freedom = sum(len(values) - 1 for values in by_seed.values())
        if freedom < 1:
            return ""
        return f"σ last bit so far {math.sqrt(squares / freedom):.2g}{self.unit} (n = {freedom + len(by_seed)})"
