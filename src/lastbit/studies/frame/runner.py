"""The jobs of a study under way: which are left, in which processes, what is kept of those that end."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.core.threads import needs_threads
from lastbit.core.threads import threads as torch_threads
from lastbit.report.formatting import plural
from lastbit.store import RunFiles, StudyFolder
from lastbit.studies.frame.asked import Asked
from lastbit.studies.frame.execution import Left, choose_execution, interrupted, now_and_then
from lastbit.studies.frame.fingerprint import fingerprint, other_elsewhere
from lastbit.studies.frame.kind import DTYPES, Cell, Job, Kind, Plan, Trained, Work, distinct
from lastbit.studies.frame.memory import MemoryFormat, Networks, choose_format
from lastbit.studies.frame.program import Trainee
from lastbit.studies.frame.progress import GridProgress, grid_progress
from lastbit.tasks import Task
from lastbit.train.jobs import ATTEMPTS, Crashed, Event, Finished, Progressed, Started, Together
from lastbit.train.jobs import Job as Queued
from lastbit.train.memory_format import MEMORY_FORMATS, in_format
from lastbit.train.replicas.engines import ENGINES
from lastbit.train.run import step_seconds

__all__ = ["JobWorker", "JobWorkerFactory", "Runner"]


@dataclass(frozen=True)
class JobWorkerFactory:
    """Makes the worker of one process.

    Attributes:
        kind: of the study.
        plan: what is trained.
        sample: the cell whose steps are timed to choose how the study is executed.
        folder: of the study.
        checkpoint_seconds: time between the checkpoints of a run.
        fingerprints: of the tasks, by `Cell.sets`.
        home: number of the process in which they were taken.
        memory_format: of the networks.
    """

    kind: Kind[Any, Any]
    plan: Plan[Any]
    sample: Cell
    folder: Path
    checkpoint_seconds: float
    fingerprints: Mapping[str, str]
    home: int
    memory_format: str = MEMORY_FORMATS[0]

    def __call__(self) -> JobWorker:
        """Make the worker."""
        return JobWorker(self)

    def moved(self, folder: Path, root: Path | None) -> JobWorkerFactory:
        """Return the same for another machine, with files in `folder`, and the user's under `root`."""
        return replace(self, folder=folder, plan=self.plan if root is None else self.plan.under(root), home=0)


class JobWorker:
    """Does the jobs of a study, one after another; a task is built when its cell first comes up."""

    def __init__(self, order: JobWorkerFactory) -> None:
        self._order = order
        self._device = order.plan.device
        self._built: tuple[str, Trainee] | None = None

    def _task(self, cell: Cell) -> Trainee:
        order = self._order
        if self._built is None or self._built[0] != cell.sets:
            task = order.plan.task(cell)
            if os.getpid() != order.home and fingerprint(task) != order.fingerprints[cell.sets]:
                raise LastbitError(other_elsewhere(task.name))
            self._built = cell.sets, in_format(task, order.memory_format) if isinstance(task, Task) else task
        return self._built[1]

    def run(self, job: Job, progress: Callable[[int | str], None]) -> Trained:
        """Do one job; `progress` receives the number of steps taken, now and then, and what else is to be said."""
        return self._order.kind.train(self._work(job, progress))

    def alike(self, job: Job) -> Hashable:
        """Return what jobs agree in that are of one task, trained with one set of settings."""
        return job.cell.sets, repr(sorted(job.cell.settings.items()))

    def run_together(
        self, jobs: Sequence[Job], progress: Sequence[Callable[[int | str], None]], how: Together
    ) -> list[Trained | Exception]:
        """Do jobs that are alike in step with each other."""
        kind = self._order.kind
        assert kind.in_step is not None
        return kind.in_step.train([self._work(job, told) for job, told in zip(jobs, progress, strict=True)], how)

    def _work(self, job: Job, progress: Callable[[int | str], None]) -> Work[Any]:
        order = self._order
        return Work(
            job=job,
            task=self._task(job.cell),
            program=order.plan.programs[job.cell.arm],
            programs=order.plan.programs,
            settings=order.plan.settings_of(job.cell),
            device=self._device,
            files=lambda run: RunFiles(order.folder, run),
            output=lambda run: order.folder / "output" / run,
            progress=now_and_then(progress),
            say=progress,
            checkpoint_seconds=order.checkpoint_seconds,
        )

    def step_seconds(self) -> float:
        """Measure one training step of the sample cell."""
        task = self._task(self._order.sample)
        assert isinstance(task, Task), "a training function has no steps of its own to measure"
        return step_seconds(task, device=self._device, dtype=_dtype_of(self._order.plan, self._order.sample))


def _dtype_of(plan: Plan[Any], cell: Cell) -> torch.dtype:
    """Return the format of a cell's weights."""
    # A trace holds several formats, of which a cell has one.
    dtype = getattr(plan.settings_of(cell), "dtype", "float32")
    return DTYPES[dtype if isinstance(dtype, str) else dtype[0]]


class Runner:
    """The jobs of one study.

    Args:
        kind: of the study.
        plan: what is trained.
        folder: the study, opened to write.
        tasks: by number of their cell.
        fingerprints: of the tasks, by `Cell.sets`.
        asked: in which processes, with how many threads.
    """

    def __init__(
        self,
        kind: Kind[Any, Any],
        plan: Plan[Any],
        folder: StudyFolder,
        tasks: Mapping[int, Trainee],
        *,
        fingerprints: Mapping[str, str],
        asked: Asked,
    ) -> None:
        self.kind, self.plan, self.folder, self.tasks, self.asked = kind, plan, folder, tasks, asked
        self.steps = {cell.number: kind.steps(plan.settings_of(cell), tasks[cell.number]) for cell in plan.cells}
        self.records = {record.run: record for record in folder.runs() if record.status != RunStatus.CRASHED}
        self.damaged = dict(folder.damaged)
        self.factory = JobWorkerFactory(
            kind=kind,
            plan=plan,
            sample=kind.sample(plan, tasks),
            folder=folder.path.absolute(),
            checkpoint_seconds=asked.checkpoint_seconds,
            fingerprints=fingerprints,
            home=os.getpid(),
        )
        self.crashed = ""
        self._jobs = kind.jobs(plan)

    def run(self, *, quiet: bool, form: str | None = None) -> None:
        """Do what is left, unless an exact repeat does not match.

        Args:
            quiet: show no progress, where no form of it is asked for.
            form: of the progress, as `grid_progress` takes it.

        Raises:
            LastbitError: something that no other job would get past, every job crashed, or the user interrupted.
        """
        self._withdraw_damaged(self._jobs)
        tried: set[str] = set()
        due = self._due(tried)
        try:
            self._do(due, again=False, quiet=quiet, form=form)
            while due := self._due(tried := tried | {job.run for job in due}):
                self._do(due, again=True, quiet=quiet, form=form)
        except _NoMoreNeeded:
            for job in self._jobs:
                self.folder.files(job.run).drop_lent()
        except KeyboardInterrupt:
            there = {record.run for record in self.folder.runs()}
            done = sum(job.run in there for job in self._jobs)
            left = sum(job.run not in there for job in due)
            raise interrupted(self.folder, done, done + left, self.kind.counted) from None

    def _due(self, tried: Collection[str]) -> Sequence[Job]:
        """Return the jobs that are done next, without those that were tried in this process."""
        left = [job for job in self._jobs if job.run not in self.records and job.run not in tried]
        return self.kind.due(self.folder, self.plan, left)

    def _do(self, due: Sequence[Job], *, again: bool, quiet: bool, form: str | None) -> None:
        """Do some of the jobs; of those that are in, look at the controls first, unless that was done before."""
        done, most = sum(job.run in self.records for job in self._jobs), max(self.steps.values())
        counted, study = self.kind.counted, str(self.folder.path)
        total = done + len(due)
        with grid_progress(runs=total, done=done, steps=most, study=study, form=form, quiet=quiet) as progress:
            if not again:
                progress.event(f"{self.kind.announced(self.plan, total, most)} into {self.folder.path}")
                for run, reason in self.damaged.items():
                    progress.event(f"{run} is trained again: {reason}")
                for note in self.folder.facts.get("notes", ()):
                    progress.event(note)
                if done:
                    progress.event(f"{plural(done, counted)} already there")
                for cell in self.plan.cells:
                    self._gather(cell)
                    self._check_control(cell)
                self._check_enough()
            if trained := [Queued(name=job.run, payload=job) for job in due if not job.made_from]:
                self._execute(trained, progress)
            self._make([Queued(name=job.run, payload=job) for job in due if job.made_from], progress)

    def _withdraw_damaged(self, jobs: Sequence[Job]) -> None:
        """Do anew the jobs that the damaged runs came from: their own, or that of their cell."""
        own, spoilt = {job.run for job in jobs}, set()
        for record in self.folder.runs(damaged=True) if self.damaged else ():
            if record.run in self.damaged:
                self.folder.event("damaged", self.damaged[record.run], record.run)
                spoilt |= {record.cell} if record.run not in own else set()
        self.records = {name: record for name, record in self.records.items() if record.cell not in spoilt}

    def _execute(self, left: list[Queued], progress: GridProgress) -> None:
        tasks = distinct(self.plan, self.tasks).values()
        memory_format = self._memory_format([task for task in tasks if isinstance(task, Task)], progress)
        executor = choose_execution(
            self.folder,
            replace(self.factory, memory_format=memory_format.name),
            self.asked,
            Left(
                jobs=len(left),
                plan=self.plan,
                small=not any(isinstance(task, Task) and needs_threads(task.model, task.batch_size) for task in tasks),
                memory_format=memory_format,
                engine=self._engine,
            ),
            progress,
        )
        executor.run(left, lambda event: self._on_event(event, progress))
        if self.crashed and not self.records:
            raise LastbitError(
                f"every run of {self.tasks[self.plan.cells[0].number].name} crashed, tried {ATTEMPTS} times each: "
                f"{self.crashed}"
            )

    def _make(self, left: Sequence[Queued], progress: GridProgress) -> None:
        """Do the jobs that train nothing here, where the arrays of the other runs are; they count with their time."""
        worker = JobWorker(self.factory)
        for job in left:
            made: Trained = worker.run(job.payload, lambda state: None)
            spent = sum(self.records[name].seconds for name in job.payload.made_from)
            records = tuple(replace(record, seconds=spent) for record in made.records)
            self._on_event(Finished(job=job, attempt=1, result=replace(made, records=records)), progress)

    def _memory_format(self, tasks: Sequence[Task], progress: GridProgress) -> MemoryFormat:
        """Choose the memory format of the networks; theirs where nothing of them can be taken in hand."""
        sample = self.tasks[self.factory.sample.number]
        if not self.kind.settings.lays_out or not isinstance(sample, Task):
            return MemoryFormat()
        dtype = _dtype_of(self.plan, self.factory.sample)
        networks = Networks(tasks=tasks, sample=sample, device=self.plan.device, dtype=dtype)
        # Who fixes the number of threads wants the same bits again, wherever it is.
        measured = self.asked.threads is None and self.asked.executor is None
        with torch_threads(self.asked.threads or 1):
            return choose_format(self.folder, self.asked.memory_format, networks, progress, measured=measured)

    def _engine(self) -> tuple[str | None, str]:
        """Return what can take the steps of several runs of every task at once, and why better ways cannot."""
        assert self.kind.in_step is not None
        found, said, seen = [], [], set()
        for cell in self.plan.cells:
            task = self.tasks[cell.number]
            if cell.sets not in seen and isinstance(task, Task):
                seen.add(cell.sets)
                name, reasons = self.kind.in_step.engine(self.plan, cell, task)
                found.append(name)
                said.append(reasons)
        # One for all tasks of the study: the one that the most reluctant of them allows.
        worst = max(found, key=lambda name: len(ENGINES) if name is None else list(ENGINES).index(name))
        return worst, said[found.index(worst)]

    def _on_event(self, event: Event, progress: GridProgress) -> None:
        job: Job = event.job.payload
        name = job.run
        if isinstance(event, Started):
            progress.started(name, event.attempt)
        elif isinstance(event, Progressed):
            if isinstance(event.state, str):
                progress.event(event.state)
            else:
                progress.progressed(name, event.state)
        elif isinstance(event, Crashed):
            self.folder.event("crashed", event.message, name)
            progress.event(f"{name} crashed ({event.message}); " + ("given up" if event.final else "trying once more"))
            if event.final:
                self.crashed = self.crashed or event.message
                # Not among the records: a study that is resumed tries it again.
                self.folder.add(
                    job.record(
                        status=RunStatus.CRASHED,
                        attempts=event.attempt,
                        message=event.message,
                    )
                )
                progress.finished(name, "crashed", self._so_far())
        elif isinstance(event, Finished):
            self._keep(job, event.attempt, event.result)
            progress.finished(name, event.result.said, self._so_far())
            self._gather(job.cell)
            self._check_control(job.cell)
            self._check_enough()

    def _keep(self, job: Job, attempt: int, trained: Trained) -> None:
        """Make the runs of a job visible, whose arrays are in place; the one that stands for the job last."""
        if trained.facts:
            self._check_versions(job, trained.facts.get("versions", {}))
            cells = [dict(facts) for facts in self.folder.facts["cells"]]
            cells[job.cell.number] |= trained.facts
            self.folder.update_facts(cells=cells)
        for record in sorted(trained.records, key=lambda record: record.run == job.run):
            kept = replace(record, attempts=attempt)
            names = {kept.run, *self.kind.reads(kept, self.folder.facts["cells"][kept.cell])}
            self.folder.add(kept, names)
            self.records[kept.run] = kept

    def _check_versions(self, job: Job, versions: Mapping[str, str]) -> None:
        """Refuse a run of a command whose Python is not that of the runs of its arm before.

        Raises:
            LastbitError: it has another version of it, or of what it computes with.
        """
        of_arm = [one for one in self.folder.facts["cells"] if one.get("arm", 0) == job.cell.arm]
        before = next((one["versions"] for one in of_arm if "versions" in one), versions)
        for name, version in versions.items():
            if before.get(name, version) != version:
                raise LastbitError(
                    f"{self.folder.path} was begun with {name} {before[name]}, and {job.run} had {name} {version}, "
                    "where the bits would differ: run it where it was begun, or start another study with --out"
                )

    def _gather(self, cell: Cell) -> None:
        self.kind.gather(self.folder, [job for job in self._jobs if job.cell == cell], self.records.keys())

    def _check_control(self, cell: Cell) -> None:
        difference = self.kind.differs(self.folder, self.records, cell)
        if difference is not None:
            self.folder.event("not reproducible", f"{difference}", cell.name)
            raise _NoMoreNeeded

    def _check_enough(self) -> None:
        if self.kind.enough(self.folder, self.plan):
            raise _NoMoreNeeded

    def _so_far(self) -> str:
        return self.kind.so_far(list(self.records.values()), self.tasks[self.plan.cells[0].number])


class _NoMoreNeeded(Exception):
    """A repeat did not match, or what was asked is settled: nothing more needs to be trained."""
