"""The runs of an audit: which there are, how they are rehearsed, how each is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import stream_seed
from lastbit.core.status import Role, RunStatus
from lastbit.dynamics.blow_up import blow_up
from lastbit.perturb.base import Perturbation
from lastbit.perturb.registry import make_perturbation
from lastbit.report.formatting import number
from lastbit.studies.audit.opaque import call, launch, weigher
from lastbit.studies.audit.settings import AuditSettings
from lastbit.studies.frame.kind import DTYPES, Cell, Job, Plan, Trained, Work
from lastbit.studies.frame.program import Trainee
from lastbit.studies.frame.rehearsal import first_step
from lastbit.tasks.function import TrainingFunction
from lastbit.tasks.task import Task
from lastbit.train.jobs import Together
from lastbit.train.random_streams import streams
from lastbit.train.replicas.engines import choose_engine
from lastbit.train.replicas.together import Replica, run_together
from lastbit.train.run import RunOutcome, run_training
from lastbit.train.training import Training

__all__ = ["engine", "grid", "rehearse", "train", "train_in_step"]

G = TypeVar("G", bound=AuditSettings)
"""The settings of an audit, or of another kind of study with a grid of seeds and perturbations."""


def grid(plan: Plan[AuditSettings]) -> list[Job]:
    """Return the runs in the order in which they are started.

    Every seed's unperturbed run and its repeat come first: where a repeat does not match, nothing else needs to be
    trained to know it.
    """
    jobs, settings = [], plan.settings
    for cell in plan.cells:
        for index in range(settings.perturbations):
            role, label = (Role.TWIN if index else Role.BASE), _perturbation(settings, cell.seed, index).label
            jobs.append(Job(cell=cell, run=f"{cell.name}-p{index:03d}", role=role, twin=index, label=label))
        jobs.append(Job(cell=cell, run=f"{cell.name}-repeat", role=Role.REPEAT, label="repeat"))
    return sorted(jobs, key=lambda job: (job.twin > 0, job.cell.number, job.twin, job.role == Role.REPEAT))


def _perturbation(settings: AuditSettings, seed: int, index: int) -> Perturbation:
    """Return a perturbation of a seed; each seed and index draws from a stream of its own."""
    stream = stream_seed(seed, "perturbation")
    return make_perturbation(settings.perturb, index, seed=stream)


def rehearse(plan: Plan[G], cell: Cell, task: Trainee) -> None:
    """Take one perturbed step of the first two seeds, which stand for all; of a function there is none to take.

    Raises:
        LastbitError: the task and the perturbation do not go together, the seeds would all be the same run, or the
            task's own code raised.
    """
    if not cell.first or not isinstance(task, Task):
        return
    of_arm = [one for one in plan.cells if one.arm == cell.arm]
    with first_step(task.name):
        steps = [_first_step(plan, one, task) for one in of_arm[:2]]
    if len(steps) == 2 and steps[0] == steps[1]:
        raise LastbitError(
            f"--vary {plan.settings.vary}: the seeds of {task.name} differ in nothing, for it has no augmentation, "
            "dropout or other draw to vary; choose another of all, order, init, augment"
        )


def _first_step(plan: Plan[G], cell: Cell, task: Task) -> tuple[bytes, float]:
    """Return the weights after the first perturbed step of a seed, and its loss."""
    settings = plan.settings
    perturbation = make_perturbation(settings.perturb, min(1, settings.perturbations - 1), seed=0)
    varied = streams(cell.seed, settings.vary)
    training = Training(task, varied, perturbation, device=plan.device, dtype=DTYPES[settings.dtype])
    try:
        with training.active():
            training.step()
            training.state()  # what cannot be written to a checkpoint is said now, and not when the first one is due
        return training.weights().tobytes(), float(training.losses[0])
    finally:
        training.close()


def train(work: Work[G], *, keep_outputs: bool = False) -> Trained:
    """Train one run of the grid, and keep what the trained model returns for the test examples where that is asked."""
    job, task, settings = work.job, work.task, work.settings
    files = work.files(job.run)
    if not isinstance(task, Task):
        return call(work, task) if isinstance(task, TrainingFunction) else launch(work, task)
    outcome = run_training(
        task,
        streams(job.cell.seed, settings.vary),
        _perturbation(settings, job.cell.seed, job.twin),
        device=work.device,
        dtype=DTYPES[settings.dtype],
        recorder=files,
        checkpoint_seconds=work.checkpoint_seconds,
        on_step=work.progress,
        weigh=weigher(work),
        keep_outputs=keep_outputs,
    )
    return _trained(work, outcome)


def engine(plan: Plan[G], cell: Cell, task: Task) -> tuple[str | None, str]:
    """Return the engine that can take the steps of several runs of a cell's task at once; see `choose_engine`."""
    settings = plan.settings_of(cell)
    perturbation = _perturbation(settings, cell.seed, min(1, settings.perturbations - 1))
    return choose_engine(task, perturbation, device=plan.device, dtype=DTYPES[settings.dtype])


def train_in_step(works: Sequence[Work[G]], together: Together) -> list[Trained | Exception]:
    """Train several runs of the grid that are of one task."""
    first = works[0]
    settings = first.settings
    replicas = [
        Replica(
            streams=streams(work.job.cell.seed, settings.vary),
            perturbation=_perturbation(settings, work.job.cell.seed, work.job.twin),
            recorder=work.files(work.job.run),
            on_step=work.progress,
            weigh=weigher(work),
        )
        for work in works
    ]
    outcomes = run_together(
        first.task,
        replicas,
        together=together,
        device=first.device,
        dtype=DTYPES[settings.dtype],
        checkpoint_seconds=first.checkpoint_seconds,
    )
    return [
        outcome if isinstance(outcome, Exception) else _trained(work, outcome)
        for work, outcome in zip(works, outcomes, strict=True)
    ]


def _trained(work: Work[G], outcome: RunOutcome) -> Trained:
    job, metric = work.job, work.task.metric
    if outcome.status == RunStatus.OK:
        status, message = blow_up(work.files(job.run).load_arrays()["losses"])
        outcome = replace(outcome, status=status, message=message)
    record = job.record(**vars(outcome))
    said = f"{metric.name} {number(record.final[metric.name], 4, metric.unit)}"
    return Trained(records=(record,), said=said if record.status == RunStatus.OK else record.message)
