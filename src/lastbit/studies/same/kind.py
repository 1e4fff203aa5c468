"""Is a changed training the same training as before, up to rounding?"""

from __future__ import annotations

from typing import Any, cast

from lastbit.core.errors import LastbitError
from lastbit.core.keywords import takes
from lastbit.launch.program import CommandProgram
from lastbit.studies.frame.arms import Trains, arm_of
from lastbit.studies.frame.kind import Cell, Job, Kind, Plan
from lastbit.studies.frame.make import make
from lastbit.studies.frame.own_process import check_seed
from lastbit.studies.frame.program import Program, Trainee
from lastbit.studies.frame.settings import study_keywords
from lastbit.studies.same.names import names_of_sides, repeated
from lastbit.studies.same.page import same_page
from lastbit.studies.same.result import SameResult, conclude
from lastbit.studies.same.settings import SameSettings
from lastbit.studies.same.study import SameStudy
from lastbit.studies.same.worker import rehearse, train

__all__ = ["SAME", "same"]


def _settle(settings: SameSettings, program: Program) -> SameSettings:
    """Refuse what a program decides itself, or what says nothing of it.

    Raises:
        LastbitError: such a setting is given.
    """
    if program.is_opaque:
        settings.check_of_tasks(program.name)
    if settings.steps != SameSettings.model_fields["steps"].default and not _is_function(program):
        raise LastbitError(
            f"--steps is for functions that build a step: {program.name} decides itself how long it trains"
        )
    check_seed(settings.seed, program, "('python train.py --seed {seed}')")
    return settings


def _is_function(program: Program) -> bool:
    return program.is_opaque and not isinstance(program.source, CommandProgram)


def _cells(settings: SameSettings, program: Program) -> list[Cell]:
    return [Cell(number=0, name="check", seed=settings.seed)]


def _jobs(plan: Plan[SameSettings]) -> list[Job]:
    """Return one job, which is about both programs."""
    return [Job(cell=plan.cells[0], run="check")]


def _steps(settings: SameSettings, task: Trainee) -> int:
    return 1


def _announce(plan: Plan[SameSettings], jobs: int, steps: int) -> str:
    reference, candidate = names_of_sides([one.spec() for one in plan.programs], plan.settings)
    return f"same: {candidate} put onto {reference}, step by step," if candidate else f"same: {reference}, recorded,"


SAME = Kind(
    name="same",
    called="a check of sameness",
    counted="check",
    takes_functions=True,
    needs_one_task=False,
    settle=_settle,
    settings=SameSettings,
    result=SameResult,
    study=SameStudy,
    cells=_cells,
    jobs=_jobs,
    rehearse=rehearse,
    train=train,
    steps=_steps,
    announce=_announce,
    repeat=repeated,
    conclude=conclude,
    page=same_page,
)
"""The kind of study that `lastbit same` makes."""


@takes(study_keywords(SameSettings))
def same(reference: Trains = None, candidate: Trains = None, *, quiet: bool = False, **settings: Any) -> SameStudy:
    """Tell whether a candidate is the same training as its reference, up to rounding.

    Both are run in processes of their own, the candidate put onto the reference's weights, state and generators before
    and after each of its steps, so that every difference is of that step alone.

    Args:
        reference: the text of a command (`"python train.py"`) or of a task with its options (`"digits --lr 0.1"`), the
            words of a command as a list, `"FILE.py:FUNCTION"`, a `Task` or a function of a seed, which trains or
            returns a step that is called `steps` times.
        candidate: likewise; without it the reference under `candidate_env`.
        **settings: of the check, and of both where they are tasks.
        quiet: show no progress.

    Returns:
        The finished study; `result.verdict_kind` is `bit_for_bit`, `same_up_to_rounding`, `other_arithmetic`,
        `different`, `undecided`, or `not_reproducible` where the reference does not repeat itself.

    Raises:
        LastbitError: a program or a setting is invalid; a program fails, makes no optimizer step, or trains tensors of
            other names or shapes than the reference.

    Example:
        >>> from lastbit import same
        >>> study = same("digits", candidate_env={"OMP_NUM_THREADS": "2"}, epochs=1, quiet=True)  # doctest: +SKIP
        >>> study.result.verdict_kind  # doctest: +SKIP
        'same_up_to_rounding'
    """
    if settings.get("resume") is not None and reference is None and candidate is None:
        return cast(SameStudy, make(SAME, quiet=quiet, **settings))
    against, record = settings.get("against"), settings.get("record")
    if against is not None and reference is not None:
        raise LastbitError("--reference and --against both name the reference: give one of them")
    if against is None and reference is None:
        raise LastbitError(
            "against what? Give --reference 'python train.py', or --against FILE that an earlier --record wrote"
        )
    if against is not None:
        for name in ("every", "objects", "quick", "record"):
            if settings.get(name):
                raise LastbitError(f"--{name} is of the reference, which --against {against} has: leave it out")
    if candidate is None and not settings.get("candidate_env") and (against is not None or record is None):
        raise LastbitError(
            "what is to be held against the reference? Give --candidate 'python train.py --compile', or "
            "--candidate-env NAME=VALUE for the reference under another environment"
        )
    arms = [arm_of(one) for one in (reference, candidate) if one is not None]
    if len(arms) == 2 and arms[0] == arms[1] and not settings.get("candidate_env"):
        raise LastbitError(
            "the reference and the candidate are the same program: whether it repeats itself is for lastbit doctor"
        )
    if len(arms) == 1 and settings.get("candidate_env"):
        arms *= 1 if against is not None else 2
    return cast(SameStudy, make(SAME, arms=arms, quiet=quiet, **settings))
