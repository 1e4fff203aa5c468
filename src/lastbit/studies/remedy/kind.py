"""What would calm a training? Changes of it, each audited with its seeds, ranked, the best one confirmed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from lastbit.core.errors import LastbitError
from lastbit.core.keywords import takes
from lastbit.core.words import command_text, typed
from lastbit.launch.program import CommandProgram
from lastbit.report.formatting import plural
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.frame.arms import arm_of
from lastbit.studies.frame.control import Difference, compare_repeat
from lastbit.studies.frame.kind import Cell, Kind, Plan
from lastbit.studies.frame.landed import count_landed
from lastbit.studies.frame.make import make
from lastbit.studies.frame.settings import command_line, command_words, study_keywords
from lastbit.studies.remedy.names import names_of, split_variant
from lastbit.studies.remedy.page import remedy_page
from lastbit.studies.remedy.result import RemedyResult, conclude, due, enough
from lastbit.studies.remedy.runs import arms, cells, check_number, rehearse, settle, train
from lastbit.studies.remedy.runs import jobs as jobs_of
from lastbit.studies.remedy.settings import RemedySettings
from lastbit.studies.remedy.study import RemedyStudy
from lastbit.tasks import Task, TaskConfig

__all__ = ["REMEDY", "remedy"]


def _announce(plan: Plan[RemedySettings], jobs: int, steps: int) -> str:
    names = names_of([program.spec() for program in plan.programs], plan.settings.variant)
    more = ", and the best of them again" if plan.settings.confirm else ""
    means = sum(bool(job.made_from) for job in jobs_of(plan) if job.cell.seed < plan.settings.seeds)
    made = f", {plural(means, 'mean')} of their outputs" if means else ""
    return f"remedy: {', '.join(names)}: {plural(jobs, 'run')}{made}{more}"


def _differs(folder: StudyFolder, records: Mapping[str, RunRecord], cell: Cell) -> Difference | None:
    base, repeat = records.get(f"{cell.name}-p000"), records.get(f"{cell.name}-repeat")
    return compare_repeat(folder, base, repeat) if base and repeat else None


def _repeat(plan: Plan[RemedySettings]) -> str:
    """Return what repeats the study."""
    settings, source = plan.settings.model_dump(mode="json"), plan.program.source
    if plan.settings.base is not None:
        base, variants = settings.pop("base"), settings.pop("variant")
        settings.pop("change")
        named = ["--base", base, *(word for text in variants for word in ("--variant", text))]
        options = source.options if isinstance(source, CommandProgram) else {}
        return command_text(["lastbit", "remedy", *named, *command_words({**options, **settings}, RemedySettings)])
    if isinstance(source, TaskConfig):
        return command_line("remedy", {**plan.program.settings(), **plan.settings.model_dump()}, RemedySettings)
    told = {name: value for name, value in settings.items() if name not in ("base", "variant")}
    return f"lb.remedy(<Task {plan.program.name!r}>, {', '.join(f'{name}={value!r}' for name, value in told.items())})"


REMEDY = Kind(
    name="remedy",
    called="a search for a remedy",
    counted="run",
    takes_functions=True,
    settle=settle,
    selects=True,
    settings=RemedySettings,
    result=RemedyResult,
    study=RemedyStudy,
    arms=arms,
    cells=cells,
    jobs=jobs_of,
    due=due,
    rehearse=rehearse,
    train=train,
    enough=enough,
    differs=_differs,
    gather=count_landed,
    announce=_announce,
    repeat=_repeat,
    conclude=conclude,
    page=remedy_page,
)
"""The kind of study that `lastbit remedy` makes."""


@takes(study_keywords(RemedySettings))
def remedy(
    task: str | Task | Callable[[int], Any] | Sequence[str] | None = None,
    *,
    quiet: bool = False,
    checkpoint_seconds: float = 20.0,
    **settings: Any,
) -> RemedyStudy:
    """Find out what would lower the last-bit spread of a training, at which cost.

    Each change is made to the task by itself and trained with the same `seeds` x `perturbations` as the task as it is,
    with one exact repeat per seed as control. What looked best is trained again on as many fresh seeds before it is
    called the answer.

    Args:
        task: name of a built-in task (`"digits"`), `"FILE.py:FUNCTION"` or a `Task`; none with `base` and `variant`.
        **settings: of the study and of its task.
        quiet: show no progress.
        checkpoint_seconds: time between the checkpoints of a run.

    Returns:
        The finished study; `result.verdict_kind` is `remedy`, `none`, `undecided` or `nothing_to_calm`, and
        `result.remedy` names the change that is the answer.

    Raises:
        LastbitError: a change does not apply, a setting, the task or the folder is invalid; or the user interrupted
            (finished runs are safe).

    Example:
        >>> from lastbit import remedy
        >>> study = remedy("digits", change=("gelu", "lr/2"), seeds=3, epochs=1, quiet=True)  # doctest: +SKIP
        >>> study.verdict  # doctest: +SKIP
    """
    base, variants = settings.get("base"), settings.get("variant") or ()
    how: dict[str, Any] = {"quiet": quiet, "checkpoint_seconds": checkpoint_seconds, **settings}
    if not (base or variants):
        return cast(RemedyStudy, make(REMEDY, task, **how))
    if task is not None or settings.get("change"):
        other = "--change" if settings.get("change") else typed(task if isinstance(task, str) else "a task")
        raise LastbitError(f"{other} and --base: give the one that is changed here, or --base with its --variant")
    if not base or not variants:
        raise LastbitError("--base and --variant go together: give the training as it is, and one or more changed")
    check_number(len(variants))
    named = [split_variant(text) for text in variants]
    for place, (name, program) in enumerate(named):
        if name in [one for one, _ in named[:place]]:
            raise LastbitError(f"--variant {name} stands there twice: name each once")
        if program in [base, *(one for _, one in named[:place])]:
            raise LastbitError(f"--variant {name} is a program that stands there already: change something in it")
    return cast(RemedyStudy, make(REMEDY, arms=[arm_of(one) for one in (base, *(text for _, text in named))], **how))
