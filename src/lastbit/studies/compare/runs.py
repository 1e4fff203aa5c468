"""The runs of a comparison of programs: which there are, in which order, and when there are enough of them."""

from __future__ import annotations

from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.core.status import Role
from lastbit.launch.program import CommandProgram
from lastbit.stats.sequential import LEAST_RUNS, MOST_RUNS
from lastbit.studies.compare.settings import CompareSettings
from lastbit.studies.frame.kind import Cell, Job, Plan
from lastbit.studies.frame.program import Program

__all__ = ["cells", "jobs", "runs_planned", "settle"]


def cells(settings: CompareSettings, program: Program) -> list[Cell]:
    """Return the seeds of one arm."""
    return [Cell(number=s, name=f"seed{s:03d}", label=f"seed {s}", seed=s) for s in range(settings.so_many)]


def jobs(plan: Plan[CompareSettings]) -> list[Job]:
    """Return the runs in the order in which they are started: seed by seed, in all arms beside each other.

    Where seeds are perturbed, the first of each arm has an exact repeat as control.
    """
    found = []
    for cell in plan.cells:
        for index in range(plan.settings.perturbations):
            role = Role.TWIN if index else Role.BASE
            found.append(Job(cell=cell, run=f"{cell.name}-p{index:03d}", role=role, twin=index, label=cell.label))
        if cell.first and plan.settings.perturbations > 1:
            found.append(Job(cell=cell, run=f"{cell.name}-repeat", role=Role.REPEAT, label="repeat"))
    return sorted(found, key=lambda job: (job.cell.seed, job.twin, job.cell.arm, job.role == Role.REPEAT))


def runs_planned(settings: CompareSettings, arms: int) -> int:
    """Return how many runs there are at most."""
    return arms * (settings.so_many * settings.perturbations + (settings.perturbations > 1))


def settle(settings: CompareSettings, program: Program) -> CompareSettings:
    """Refuse what does not go together, and perturb a function or command in whichever way its optimizers allow.

    Raises:
        LastbitError: settings contradict each other, or belong to tasks.
    """
    if settings.open and not settings.sequential:
        raise LastbitError("--open is a way of adding runs: give --sequential too")
    if settings.most is not None and not settings.sequential:
        raise LastbitError(f"--most {settings.most} ends the adding of runs: give --sequential too, or --seeds alone")
    if settings.sequential and "seeds" in settings.model_fields_set:
        raise LastbitError(f"--seeds {settings.seeds}: --sequential adds seeds by itself: give --most in place of it")
    if settings.sequential and not settings.open and not LEAST_RUNS <= settings.so_many <= MOST_RUNS:
        raise LastbitError(
            f"--most {settings.so_many}: the error rate is known for {LEAST_RUNS} to {MOST_RUNS} seeds an arm; "
            "give --open too for more"
        )
    if not program.is_opaque:
        return settings
    for name in CompareSettings.of_tasks:
        if getattr(settings, name) != CompareSettings.model_fields[name].default:
            raise LastbitError(f"--{name} belongs to tasks: {program.name} decides it itself")
    if settings.perturb == "reorder":
        raise LastbitError("--perturb reorder needs a task: here write auto, rescale, rounding or ulp")
    changes: dict[str, Any] = {} if "perturb" in settings.model_fields_set else {"perturb": "auto"}
    if isinstance(program.source, CommandProgram) and not program.source.metrics:
        raise LastbitError(
            f"which number of {program.name} is compared? Give --metric NAME and --better higher or lower; "
            "lastbit audit -- lists what a command prints"
        )
    if isinstance(program.source, CommandProgram) and program.source.metrics[0].higher_is_better is None:
        name = program.source.metrics[0].name
        raise LastbitError(
            f"whether higher or lower {name} is better is not known: give --better higher or --better lower"
        )
    return settings.model_copy(update=changes)
