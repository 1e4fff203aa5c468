"""The doctor: why do two runs of a program with the same seed differ?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from lastbit.core.errors import LastbitError
from lastbit.core.keywords import takes
from lastbit.studies.doctor.page import doctor_page
from lastbit.studies.doctor.result import DoctorResult, conclude
from lastbit.studies.doctor.settings import DoctorSettings
from lastbit.studies.doctor.study import DoctorStudy
from lastbit.studies.doctor.worker import rehearse, train
from lastbit.studies.frame.kind import Cell, Kind, Plan
from lastbit.studies.frame.make import make
from lastbit.studies.frame.own_process import check_seed
from lastbit.studies.frame.program import Program, Trainee
from lastbit.studies.frame.settings import study_keywords
from lastbit.tasks import Task

__all__ = ["DOCTOR", "doctor"]


def _settle(settings: DoctorSettings, program: Program) -> DoctorSettings:
    """Refuse what the program decides itself, or what says nothing of it.

    Raises:
        LastbitError: such a setting is given.
    """
    if program.is_opaque:
        settings.check_of_tasks(program.name)
    check_seed(settings.seed, program, "(-- python train.py --seed {seed}), or give --reseed")
    if settings.record is not None and settings.record == settings.against:
        raise LastbitError(f"--record and --against both name {settings.record}: name another file for one of them")
    return settings


def _cells(settings: DoctorSettings, program: Program) -> list[Cell]:
    return [Cell(number=0, name="examination", seed=settings.seed)]


def _steps(settings: DoctorSettings, task: Trainee) -> int:
    return 1


def _announce(plan: Plan[DoctorSettings], jobs: int, steps: int) -> str:
    if plan.settings.record or plan.settings.against:
        return "doctor: one run, every step recorded,"
    return "doctor: two runs in lock step, and what they give reason for,"


DOCTOR = Kind(
    name="doctor",
    called="an examination",
    counted="examination",
    takes_functions=True,
    needs_one_task=False,
    settle=_settle,
    settings=DoctorSettings,
    result=DoctorResult,
    study=DoctorStudy,
    cells=_cells,
    rehearse=rehearse,
    train=train,
    steps=_steps,
    announce=_announce,
    conclude=conclude,
    page=doctor_page,
)
"""The kind of study that `lastbit doctor` makes."""


@takes(study_keywords(DoctorSettings))
def doctor(
    task: str | Task | Callable[[int], Any] | None = None, *, quiet: bool = False, **settings: Any
) -> DoctorStudy:
    """Find out why two runs of a training with the same seed differ, or that they do not.

    Runs it twice at once, in processes of their own, and stops both where they first differ.

    Args:
        task: name of a built-in task (`"digits"`), `"FILE.py:FUNCTION"`, a `Task`, or a function `train(seed)`; a
            function or `Task` of your own must be importable by its name.
        **settings: of the study and of its task.
        quiet: show no progress.

    Returns:
        The finished study; `result.finding` says where they differ.

    Raises:
        LastbitError: a setting, the task or the folder is invalid; the program fails by itself, or trains nothing.

    Example:
        >>> from lastbit import doctor
        >>> found = doctor("digits", epochs=1)  # doctest: +SKIP
        >>> found.verdict  # doctest: +SKIP
    """
    return cast(DoctorStudy, make(DOCTOR, task, quiet=quiet, **settings))
