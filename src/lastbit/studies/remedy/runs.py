"""The runs of a search for a remedy: which there are, in which order, and which of them are wanted after the first."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from lastbit.core.errors import LastbitError
from lastbit.core.status import Role, RunStatus
from lastbit.launch.program import CommandProgram
from lastbit.perturb.base import Identity
from lastbit.report.formatting import count, number, plural
from lastbit.studies.audit.worker import rehearse as rehearse_task
from lastbit.studies.audit.worker import train as train_one
from lastbit.studies.frame.arms import LETTERS
from lastbit.studies.frame.fingerprint import targets_of_test
from lastbit.studies.frame.kind import DTYPES, Cell, Job, Plan, Trained, Work
from lastbit.studies.frame.program import Program, Trainee
from lastbit.studies.remedy.changes.change import Change, Subject
from lastbit.studies.remedy.changes.outputs import MeanOutput
from lastbit.studies.remedy.changes.register import changes_for, changes_of
from lastbit.studies.remedy.names import BASE, names_of
from lastbit.studies.remedy.settings import RemedySettings
from lastbit.tasks import Task, TaskConfig
from lastbit.tasks.checks import check_task
from lastbit.train.random_streams import streams
from lastbit.train.training import Training

__all__ = ["arms", "cells", "jobs", "rehearse", "settle", "train"]


def settle(settings: RemedySettings, program: Program) -> RemedySettings:
    """Fill in the changes that are tried where none is named, and refuse what does not go together.

    Raises:
        LastbitError: a change does not apply, or nothing can be changed from outside.
    """
    if settings.base is not None:
        return _settled_variant(settings, program)
    if program.is_opaque:
        what = "a command" if isinstance(program.source, CommandProgram) else "a training function"
        raise LastbitError(
            f"{program.name} is {what}, which nobody can change from outside: give --base 'python train.py --seed "
            "{seed}' and --variant 'NAME=python train.py --act gelu --seed {seed}'"
        )
    task = program.task({})
    assert isinstance(task, Task)
    check_task(task)
    config = program.source if isinstance(program.source, TaskConfig) and program.file is None else None
    subject = Subject(task, config, settings.dtype, settings.perturbations)
    if not settings.change:
        found = changes_for(subject)
        if not found:
            raise LastbitError(f"no change is known that {task.name} allows: give --base and --variant")
        return settings.model_copy(update={"change": tuple(change.name for change in found)})
    named = changes_of(settings.change)
    for change in named:
        change.check(subject)
    return settings.model_copy(update={"change": tuple(change.name for change in named)})


def _settled_variant(settings: RemedySettings, program: Program) -> RemedySettings:
    """Refuse what a command decides itself, and perturb it in whichever way its optimizers allow."""
    if not program.is_opaque:
        return settings
    command = program.source
    if not isinstance(command, CommandProgram):
        raise LastbitError(f"{program.name} is a training function: write it as a command, or as a task")
    settings.check_of_tasks(program.name)
    settings.check_of_command(program.name)
    if not command.seeded:
        raise LastbitError(f"nothing varies the seed of {program.name}: write {{seed}} where it takes one, or --reseed")
    if settings.perturb == "reorder":
        raise LastbitError("--perturb reorder needs a task: here write auto, rescale, rounding or ulp")
    if not command.metrics:
        raise LastbitError(
            f"which number of {program.name} counts? Give --metric NAME and --better higher or lower; "
            "lastbit audit -- lists what a command prints"
        )
    if command.metrics[0].higher_is_better is None:
        raise LastbitError(
            f"which is better of {command.metrics[0].name} is not known: give --better higher or --better lower"
        )
    changes: dict[str, Any] = {} if "perturb" in settings.model_fields_set else {"perturb": "auto"}
    return settings.model_copy(update=changes)


def arms(settings: RemedySettings, programs: Sequence[Program]) -> Sequence[Program]:
    """Return the training as it is, and each change of it."""
    if settings.base is not None:
        return programs
    return [*programs, *(replace(programs[0], change=change) for change in changes_of(settings.change))]


def cells(settings: RemedySettings, program: Program) -> list[Cell]:
    """Return the seeds of one arm: those of the exploration, then the fresh ones of the confirmation."""
    change = program.change if isinstance(program.change, Change) else None
    takes: dict[str, Any] = {}
    if change is not None:
        takes = {"program": dict(change.program), "settings": dict(change.settings)}
    many = settings.seeds * (2 if settings.confirm else 1)
    return [Cell(number=s, name=f"seed{s:03d}", label=f"seed {s}", seed=s, **takes) for s in range(many)]


def jobs(plan: Plan[RemedySettings]) -> list[Job]:
    """Return the runs in the order in which they are started: seed by seed, in all arms beside each other.

    Of each seed the unperturbed runs and their repeats come first: where a repeat does not match, nothing else needs to
    be trained.
    """
    found = []
    for cell in plan.cells:
        change = plan.programs[cell.arm].change
        each = change.runs if isinstance(change, MeanOutput) else 0
        for index in range(plan.settings.perturbations // (each or 1)):
            role = Role.TWIN if index else Role.BASE
            members = tuple(_run(f"{LETTERS[0]}{cell.name[1:]}", index * each + one) for one in range(each))
            how: dict[str, Any] = {"role": role, "twin": index, "label": cell.label, "made_from": members}
            found.append(Job(cell=cell, run=_run(cell.name, index), **how))
        # What is made of other runs repeats where they do.
        if not each:
            found.append(Job(cell=cell, run=f"{cell.name}-repeat", role=Role.REPEAT, label="repeat"))
    return sorted(found, key=lambda job: (job.cell.seed, job.twin > 0, job.cell.arm, job.twin, job.role == Role.REPEAT))


def _run(cell: str, index: int) -> str:
    return f"{cell}-p{index:03d}"


def train(work: Work[RemedySettings]) -> Trained:
    """Train one run, or take the mean of what the networks of several returned."""
    change = work.program.change
    if isinstance(change, MeanOutput):
        return _mean(work)
    means = any(isinstance(one.change, MeanOutput) for one in work.programs)
    return train_one(work, keep_outputs=means and change is None)


def _mean(work: Work[RemedySettings]) -> Trained:
    """Measure the mean over the members of a run of what they returned for the test examples."""
    job, settings, task = work.job, work.settings, work.task
    files = [work.files(member) for member in job.made_from]
    crashed = not all(one.arrays_path.exists() for one in files)
    kept = [] if crashed else [torch.from_numpy(one.load_arrays()["outputs"]) for one in files]
    if crashed or not all(bool(torch.isfinite(one).all()) for one in kept):
        status = RunStatus.CRASHED if crashed else RunStatus.DIVERGED
        record = job.record(status=status, message=f"a run that it is made of {status}")
        work.files(job.run).arrays({"outputs": np.empty(0)})
        return Trained(records=(record,), said=record.message)
    outputs_N = torch.stack(kept).double().mean(0).to(kept[0].dtype)
    seeded = streams(job.cell.seed, settings.vary)
    training = Training(task, seeded, Identity(), device=torch.device("cpu"), dtype=DTYPES[settings.dtype])
    with closing(training), training.active():
        found = training.evaluate(outputs_N=outputs_N)
    arrays = {"outputs": outputs_N.numpy()}
    if found.predictions_N is not None:
        arrays["predictions"] = found.predictions_N
    work.files(job.run).arrays(arrays)
    metrics = {name: [value] for name, value in found.metrics.items()}
    if found.loss is not None:
        metrics["test_loss"] = [found.loss]
    record = job.record(status=RunStatus.OK, steps=(task.total_steps,), metrics=metrics)
    return Trained(records=(record,), said=f"{task.metric.name} {number(found.metric, 4, task.metric.unit)}")


def rehearse(plan: Plan[RemedySettings], cell: Cell, task: Trainee) -> None:
    """Take a step of each arm, and refuse arms that are not measured alike.

    Raises:
        LastbitError: two arms are the same program, or differ in metric or test set.
    """
    if not cell.first or not isinstance(task, Task):
        return
    first = plan.task(plan.cells[0]) if cell.arm else task
    if isinstance(first, Task) and cell.arm:
        _check_alike(first, task, names_of([one.spec() for one in plan.programs], plan.settings.variant)[cell.arm])
    rehearse_task(plan, cell, task)


def _check_alike(base: Task, other: Task, name: str) -> None:
    one, two = base.metric, other.metric
    if (one.name, one.unit) != (two.name, two.unit):
        raise LastbitError(f"{BASE} is measured by {one.name} and {name} by {two.name}: measure both alike")
    if len(base.test) != len(other.test):
        sizes = f"{plural(len(base.test), 'example')} and {name} one of {count(len(other.test))}"
        raise LastbitError(f"{BASE} has a test set of {sizes}: measure both on one")
    if targets_of_test(base) != targets_of_test(other):
        raise LastbitError(f"the test sets of {BASE} and {name} ask for other targets: measure both on one")


def check_number(variants: int) -> None:
    """Refuse more variants than a study has arms for.

    Raises:
        LastbitError: they are more.
    """
    if variants >= len(LETTERS):
        raise LastbitError(f"{variants} variants are too many: name at most {len(LETTERS) - 1}")
