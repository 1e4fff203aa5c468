"""The audit: a grid of seeds by last-bit perturbations, with an exact repeat per seed, trained and kept on disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from lastbit.core.errors import LastbitError
from lastbit.core.keywords import takes
from lastbit.core.status import Role, RunStatus
from lastbit.launch.program import CommandProgram
from lastbit.report.formatting import number
from lastbit.stats import variance_components
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.audit.page import audit_page
from lastbit.studies.audit.result import AuditResult, conclude
from lastbit.studies.audit.settings import AuditSettings
from lastbit.studies.audit.study import AuditStudy
from lastbit.studies.audit.worker import engine, grid, rehearse, train, train_in_step
from lastbit.studies.frame.control import Difference, compare_repeat
from lastbit.studies.frame.kind import Cell, InStep, Kind
from lastbit.studies.frame.landed import count_landed
from lastbit.studies.frame.make import make
from lastbit.studies.frame.program import Program, Trainee
from lastbit.studies.frame.settings import study_keywords
from lastbit.tasks import Task

__all__ = ["AUDIT", "audit"]


def _cells(settings: AuditSettings, program: Program) -> list[Cell]:
    return [Cell(number=s, name=f"seed{s:03d}", label=f"seed {s}", seed=s) for s in range(settings.seeds)]


def _so_far(records: Sequence[RunRecord], task: Trainee) -> str:
    """Return the spread over perturbations so far."""
    names = [task.metric.name] if isinstance(task, Task) else sorted({name for one in records for name in one.metrics})
    if len(names) != 1:  # a function tells only at the end which of its numbers comes first
        return ""
    unit = task.metric.unit if isinstance(task, Task) else ""
    by_cell: dict[int, list[float]] = {}
    for record in records:
        if record.status == RunStatus.OK and record.role != Role.REPEAT:
            value = record.final.get(names[0], math.nan)
            if math.isfinite(value):
                by_cell.setdefault(record.cell, []).append(value)
    freedom = sum(len(values) - 1 for values in by_cell.values())
    if freedom < 1:
        return ""
    width = max(map(len, by_cell.values()))
    table = [values + [math.nan] * (width - len(values)) for values in by_cell.values()]
    sigma = variance_components(table).sigma_last_bit.estimate
    unit = "points" if unit == "%" else unit
    return f"σ last bit so far {number(sigma, 2, unit)} (n = {freedom + len(by_cell)})"


def _settle(settings: AuditSettings, program: Program) -> AuditSettings:
    """Refuse what a function or command decides itself, and perturb it in whichever way its optimizers allow.

    A command whose seed nobody varies has one.

    Raises:
        LastbitError: such a setting is given.
    """
    if not program.is_opaque:
        return settings
    settings.check_of_tasks(program.name)
    if isinstance(program.source, CommandProgram):
        settings.check_of_command(program.name)
    if settings.perturb == "reorder":
        raise LastbitError("--perturb reorder needs a task: here write auto, rescale, rounding or ulp")
    changes: dict[str, Any] = {} if "perturb" in settings.model_fields_set else {"perturb": "auto"}
    if isinstance(program.source, CommandProgram) and not program.source.seeded:
        if "seeds" in settings.model_fields_set and settings.seeds > 1:
            raise LastbitError(
                f"--seeds {settings.seeds}: nothing varies the seed of {program.name}: write {{seed}} where it "
                "takes one (-- python train.py --seed {seed}), or give --reseed"
            )
        changes["seeds"] = 1
    return settings.model_copy(update=changes)


def _differs(folder: StudyFolder, records: Mapping[str, RunRecord], cell: Cell) -> Difference | None:
    base, repeat = records.get(f"{cell.name}-p000"), records.get(f"{cell.name}-repeat")
    return compare_repeat(folder, base, repeat) if base and repeat else None


AUDIT = Kind(
    name="audit",
    called="an audit",
    counted="run",
    takes_functions=True,
    settle=_settle,
    selects=True,
    settings=AuditSettings,
    result=AuditResult,
    study=AuditStudy,
    cells=_cells,
    jobs=grid,
    rehearse=rehearse,
    train=train,
    in_step=InStep(engine=engine, train=train_in_step),
    so_far=_so_far,
    differs=_differs,
    gather=count_landed,
    conclude=conclude,
    page=audit_page,
)
"""The kind of study that `lastbit audit` makes."""


@takes(study_keywords(AuditSettings))
def audit(
    task: str | Task | Callable[[int], Any] | None = None,
    *,
    quiet: bool = False,
    checkpoint_seconds: float = 20.0,
    **settings: Any,
) -> AuditStudy:
    """Measure how much of a training's result is the last floating-point bit.

    Trains `seeds` x `perturbations` runs, and one exact repeat of the unperturbed run per seed as control; see
    `AuditStudy` for what comes out. Runs are kept in a study folder as they finish.

    Args:
        task: name of a built-in task (`"digits"`), `"FILE.py:FUNCTION"`, a `Task`, or a function `train(seed)` that
            trains and returns a number or a mapping of names to numbers.
        **settings: of the study and of its task.
        quiet: show no progress.
        checkpoint_seconds: time between the checkpoints of a run.

    Returns:
        The finished study.

    Raises:
        LastbitError: a setting, the task or the folder is invalid; or the user interrupted (finished runs are safe).

    Example:
        >>> from lastbit import audit
        >>> study = audit("digits", seeds=2, perturbations=2, epochs=1, quiet=True)  # doctest: +SKIP
        >>> study.verdict  # doctest: +SKIP
    """
    return cast(AuditStudy, make(AUDIT, task, quiet=quiet, checkpoint_seconds=checkpoint_seconds, **settings))
