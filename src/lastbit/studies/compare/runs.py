"""The runs of a comparison of programs: which there are, in which order, and when there are enough of them."""

from __future__ import annotations

from typing import Any

from lastbit.core.errors import LastbitError, choose
from lastbit.core.status import Role, RunStatus
from lastbit.core.words import command_text
from lastbit.launch.program import CommandProgram
from lastbit.report.formatting import count, plural
from lastbit.stats.sequential import LEAST_RUNS, MOST_RUNS
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.audit.worker import rehearse as rehearse_task
from lastbit.studies.compare.settings import CompareSettings
from lastbit.studies.frame.arms import LETTERS
from lastbit.studies.frame.digest import digest_of
from lastbit.studies.frame.fingerprint import targets_of_test
from lastbit.studies.frame.kind import Cell, Job, Plan, Pointless
from lastbit.studies.frame.program import Program, Trainee
from lastbit.tasks import Task

__all__ = ["cells", "check_number", "jobs", "refuse_one_run", "rehearse", "runs_planned", "settle"]

_TO_TELL = 3
"""Runs of an arm after which equal values are no chance."""


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
    _check_looks(settings)
    for way in settings.better:
        choose(way.rpartition("=")[2], ("higher", "lower"), "--better")
    if len(settings.metric) > 1:
        raise LastbitError(f"--metric {' and '.join(settings.metric)}: arms are compared in one metric, name it")
    if not program.is_opaque:
        return settings
    settings.check_of_tasks(program.name)
    if isinstance(program.source, CommandProgram):
        settings.check_of_command(program.name)
    if settings.perturb == "reorder":
        raise LastbitError("--perturb reorder needs a task: here write auto, rescale, rounding or ulp")
    changes: dict[str, Any] = {} if "perturb" in settings.model_fields_set else {"perturb": "auto"}
    if isinstance(program.source, CommandProgram) and not program.source.metrics:
        raise LastbitError(
            f"which number of {program.name} is compared? Give --metric NAME and --better higher or lower; "
            "lastbit audit -- lists what a command prints"
        )
    if not settings.better:
        name = program.source.metrics[0].name if isinstance(program.source, CommandProgram) else "what it returns"
        raise LastbitError(f"which is better of {name} of {program.name} is not known: give --better higher or lower")
    return settings.model_copy(update=changes)


def _check_looks(settings: CompareSettings) -> None:
    if settings.sequential and settings.paired:
        raise LastbitError("--sequential compares arms run by run, and pairs none: leave --paired or --sequential out")
    if settings.open and not settings.sequential:
        raise LastbitError("--open is a way of adding runs: give --sequential too")
    if settings.most is not None and not settings.sequential:
        raise LastbitError(f"--most {settings.most} ends the adding of runs: give --sequential too, or --seeds alone")
    if settings.sequential and settings.seeds != CompareSettings.model_fields["seeds"].default:
        raise LastbitError(f"--seeds {settings.seeds}: --sequential adds seeds by itself: give --most in place of it")
    if settings.sequential and not settings.open and not LEAST_RUNS <= settings.so_many <= MOST_RUNS:
        raise LastbitError(
            f"--most {settings.so_many}: the error rate is known for {LEAST_RUNS} to {plural(MOST_RUNS, 'seed')} an "
            "arm; give --open too for more"
        )


def rehearse(plan: Plan[CompareSettings], cell: Cell, task: Trainee) -> None:
    """Take a step of each arm, and refuse arms that are not measured alike.

    Raises:
        LastbitError: they differ in metric, unit, direction or test set, or there are several where two are compared.
    """
    if cell.number == 0:
        check_number(plan.settings, len(plan.programs))
    if cell.first and isinstance(task, Task):
        if plan.settings.metric:
            choose(plan.settings.metric[0], [one.name for one in task.all_metrics], "metric")
        first = plan.task(plan.cells[0]) if cell.arm else task
        if isinstance(first, Task):
            _check_alike(first, task, LETTERS[cell.arm].upper(), plan.settings)
    rehearse_task(plan, cell, task)


def check_number(settings: CompareSettings, arms: int) -> None:
    """Refuse what compares two arms where there are more.

    Raises:
        LastbitError: there are more.
    """
    for name in ("paired", "sequential") if arms > 2 else ():
        if getattr(settings, name):
            raise LastbitError(f"--{name} compares two arms, and there are {count(arms)}: leave it out, or name two")


def _check_alike(first: Task, other: Task, letter: str, settings: CompareSettings) -> None:
    of_a, of_b = ({one.name: one for one in task.all_metrics} for task in (first, other))
    name = settings.metric[0] if settings.metric else first.all_metrics[0].name
    told = of_a[name], of_b.get(name, other.all_metrics[0])
    if told[0].name != told[1].name or told[0].unit != told[1].unit:
        raise LastbitError(
            f"arm A is measured by {told[0].name} and {letter} by {told[1].name}: compare tasks with the same metric"
        )
    if len(first.test) != len(other.test):
        sizes = f"of {plural(len(first.test), 'example')} and {letter} one of {count(len(other.test))}"
        raise LastbitError(f"arm A has a test set {sizes}: measure both on one")
    if targets_of_test(first) != targets_of_test(other):
        raise LastbitError(
            f"the test sets of arm A and {letter} ask for other targets, as many as they are: measure both on one"
        )


def _digest(folder: StudyFolder, run: RunRecord) -> str:
    return digest_of(folder.arrays(run.run), next(iter(run.final.values())))


def refuse_one_run(folder: StudyFolder, plan: Plan[CompareSettings]) -> None:
    """Refuse an arm whose runs are all the same run, since its command takes no seed.

    Raises:
        Pointless: one is.
    """
    needed = min(_TO_TELL, plan.settings.so_many)
    unseeded = [
        arm
        for arm, program in enumerate(plan.programs)
        if isinstance(program.source, CommandProgram) and not program.source.seeded
    ]
    for arm in unseeded:
        every = [one for one in folder.runs() if one.role == Role.BASE and plan.cells[one.cell].arm == arm]
        runs = [one for one in every if one.status == RunStatus.OK]
        values = [list(one.final.values()) for one in runs]
        if len(values) < 2 or any(value != values[0] for value in values):
            continue
        # Equal results of two runs may be chance; equal weights in every recorded step are none.
        if len(values) >= needed or _digest(folder, runs[0]) == _digest(folder, runs[1]):
            source = plan.programs[arm].source
            assert isinstance(source, CommandProgram)
            raise Pointless(
                f"{plural(len(values), 'run')} of {command_text(source.words)} gave the same {source.metrics[0].name}, "
                "for no seed reaches it: write {seed} where it takes its seed, or give --reseed"
            )
