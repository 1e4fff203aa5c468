"""The runs of a trace of what lastbit cannot look into: a training function or a command, each run by itself."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from lastbit.core.errors import LastbitError
from lastbit.core.status import Role, RunStatus
from lastbit.launch.arrays import record_arrays
from lastbit.launch.program import CommandProgram
from lastbit.report.formatting import number, plural
from lastbit.studies.frame.kind import Job, Plan, Trained, Work
from lastbit.studies.frame.launched import (
    call_to_end,
    is_first,
    launch_settings,
    perturbation_for,
    read_metrics,
    run_to_end,
    versions_of,
)
from lastbit.studies.frame.own_process import check_seed
from lastbit.studies.frame.program import Program
from lastbit.studies.trace.settings import TraceSettings
from lastbit.tasks.function import TrainingFunction
from lastbit.train.jobs import RunFailed
from lastbit.train.weighed import of_weights, weighed

__all__ = ["run_alone", "separate_jobs", "settled"]

_LOCK_STEP = {
    "from_step": "no run of it can be branched off",
    "renormalise": "its twins are runs of their own, and none can be brought back to the base",
    "tangent": "a tangent needs the network and its loss",
    "mechanism": "its twins are runs of their own, and none can be kicked",
    "layer": "filters are seen in a Task alone",
    "scaled_time": "it sets its learning rate and epochs itself",
}
"""Why settings need a Task, where it does not just decide them itself."""


def settled(settings: TraceSettings, program: Program) -> TraceSettings:
    """Refuse what needs a Task, and perturb a function or command in whichever way its optimizers allow.

    Raises:
        LastbitError: such a setting is given, or a seed that nothing sets.
    """
    for name in TraceSettings.of_tasks:
        if getattr(settings, name) != TraceSettings.model_fields[name].default:
            why = _LOCK_STEP.get(name, "it decides that itself")
            raise LastbitError(f"--{name.replace('_', '-')} belongs to tasks, not to {program.name}: {why}")
    if settings.perturb == "reorder":
        raise LastbitError("--perturb reorder needs a task: here write auto, rescale, rounding or ulp")
    if settings.every & (settings.every - 1):
        raise LastbitError(
            f"--every {settings.every}: the runs of {program.name} are recorded at powers of two and their multiples: "
            "write 1, 2, 4, 8, ..."
        )
    check_seed(settings.seed, program, "(-- python train.py --seed {seed}), or give --reseed")
    return settings if "perturb" in settings.model_fields_set else settings.model_copy(update={"perturb": "auto"})


def separate_jobs(plan: Plan[TraceSettings]) -> list[Job]:
    """Return the runs in the order in which they are started: what tells whether anything repeats comes first."""
    (cell,) = plan.cells
    jobs = [
        Job(cell=cell, run=f"{cell.name}-base", label="unperturbed"),
        Job(cell=cell, run=f"{cell.name}-repeat", role=Role.REPEAT, label="repeat"),
    ]
    for twin in range(1, plan.settings.twins + 1):
        run = Job(cell=cell, run=f"{cell.name}-twin{twin}", role=Role.TWIN, twin=twin)
        label = perturbation_for(run, plan.settings.perturb).label
        jobs.append(Job(cell=cell, run=run.run, role=run.role, twin=twin, label=label))
    return jobs


def run_alone(work: Work[TraceSettings]) -> Trained:
    """Make one run of a function or command, every optimizer in it perturbed, and keep the sketches of its steps.

    Raises:
        LastbitError: no optimizer took a step, or of the first run: it failed, or its metric cannot be read.
        RunFailed: a later run of a command failed; says with which code and its last line, or why its metric cannot be
            read.
    """
    job, settings, program = work.job, work.settings, work.task
    began, since, message = time.perf_counter(), time.time(), ""
    facts: dict[str, Any] = {}
    if isinstance(program, TrainingFunction):
        perturbation = perturbation_for(job, settings.perturb)
        ran = call_to_end(program, job, perturbation, every=settings.every)
        metrics = {} if ran.returned is None else program.measured(ran.returned).metrics
        arrays, steps, perturbed = ran.arrays | of_weights(ran.first, ran.final, weighed), ran.steps, ran.perturbed
        if not ran.finite:
            message = "weights are not finite at the end"
    else:
        assert isinstance(program, CommandProgram), "a Task is trained in lock step"
        launch = launch_settings(program, job, settings.perturb, settings.every)
        done = run_to_end(program, launch, work.output(job.run), first=is_first(job))
        try:
            metrics, _ = read_metrics(program, done, since)
        except LastbitError as error:
            if is_first(job):
                raise
            raise RunFailed(str(error)) from None
        facts["versions"] = versions_of(done)
        arrays, steps, perturbed = record_arrays(done.processes), done.steps, done.perturbed
    # Compared too: of runs without a metric nothing else says how long they were.
    work.files(job.run).arrays(arrays | {"number_of_steps": np.array([steps])})
    record = job.record(
        status=RunStatus.DIVERGED if message else RunStatus.OK,
        message=message,
        seconds=time.perf_counter() - began,
        steps=(steps,) if metrics else (),
        metrics={name: [value] for name, value in metrics.items()},
    )
    facts |= {"perturbed": perturbed} if job.twin else {}
    shown = [f"{name} {number(value, 4)}" for name, value in list(metrics.items())[:1]]
    return Trained(records=(record,), facts=facts, said=message or ", ".join([plural(steps, "step"), *shown]))
