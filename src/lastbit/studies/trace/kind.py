"""The trace: twins of a training in lock step, and where, when and how far one bit was amplified between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from lastbit.core.keywords import takes
from lastbit.core.status import Role
from lastbit.report.formatting import plural
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.frame.control import Difference
from lastbit.studies.frame.kind import Cell, Job, Kind, Plan, Trained, Work
from lastbit.studies.frame.make import make
from lastbit.studies.frame.program import Program, Trainee
from lastbit.studies.frame.settings import study_keywords
from lastbit.studies.trace.cells import check_scaled_time, trace_cells
from lastbit.studies.trace.kicks import kicked_runs
from lastbit.studies.trace.of_audit import AuditTrace
from lastbit.studies.trace.opaque import run_alone, separate_jobs, settled
from lastbit.studies.trace.page import trace_page
from lastbit.studies.trace.result import TraceResult, conclude
from lastbit.studies.trace.separate import is_separate, separate_differs
from lastbit.studies.trace.settings import TraceSettings
from lastbit.studies.trace.study import TraceStudy
from lastbit.studies.trace.twins_found import repeat_differs
from lastbit.studies.trace.worker import rehearse, train
from lastbit.tasks import Task

__all__ = ["TRACE", "trace"]


def _settle(settings: TraceSettings, program: Program) -> TraceSettings:
    if program.is_opaque:
        return settled(settings, program)
    check_scaled_time(settings, program)
    return settings


def _jobs(plan: Plan[TraceSettings]) -> list[Job]:
    if plan.program.is_opaque:
        return separate_jobs(plan)
    return [Job(cell=cell, run=f"{cell.name}-base", label=cell.label) for cell in plan.cells]


def _rehearse(plan: Plan[TraceSettings], cell: Cell, task: Trainee) -> None:
    if isinstance(task, Task):  # of anything else there is no step to take
        rehearse(plan, cell, task)


def _train(work: Work[TraceSettings]) -> Trained:
    return train(work) if isinstance(work.task, Task) else run_alone(work)


def _announce(plan: Plan[TraceSettings], jobs: int, steps: int) -> str:
    twins = plan.settings.twins
    runs = f"(base, exact repeat, {plural(twins, 'twin')})"
    if plan.program.is_opaque:
        return f"trace of {plural(jobs, 'run')} {runs}"
    of = f"{plural(twins + 2, 'run')} in lock step {runs}"
    if kicks := kicked_runs(plan.settings):
        of += f" and {plural(kicks, 'run')} in float64 of which twins are kicked"
    return f"trace of {jobs} x {of}, {plural(steps, 'step')},"


def _reads(record: RunRecord, cell: Mapping[str, Any]) -> tuple[str, ...]:
    """The arrays of a cell are kept under its name and stand with its base run; a run's own only compare studies."""
    if is_separate(cell):
        return (record.run,)
    return (cell["name"],) if record.role == Role.BASE else ()


def _differs(folder: StudyFolder, records: Mapping[str, RunRecord], cell: Cell) -> Difference | None:
    there = f"{cell.name}-base" in records
    if is_separate(folder.facts["cells"][cell.number]):
        repeat = records.get(f"{cell.name}-repeat")
        return separate_differs(folder, records[f"{cell.name}-base"], repeat) if there and repeat else None
    return repeat_differs(cell.number, folder.arrays(cell.name)) if there else None


TRACE = Kind(
    name="trace",
    called="a trace",
    settings=TraceSettings,
    result=TraceResult,
    study=TraceStudy,
    of_audit=AuditTrace,
    takes_functions=True,
    settle=_settle,
    cells=trace_cells,
    jobs=_jobs,
    rehearse=_rehearse,
    train=_train,
    announce=_announce,
    reads=_reads,
    differs=_differs,
    conclude=conclude,
    page=trace_page,
)
"""The kind of study that `lastbit trace` makes."""


@takes(study_keywords(TraceSettings))
def trace(
    task: str | Task | Callable[[int], Any] | Sequence[str] | None = None, *, quiet: bool = False, **settings: Any
) -> TraceStudy:
    """Find where and when one bit was amplified in a training, and whether its growth is restrained.

    Trains a base run, its exact repeat and `twins` runs perturbed in the last bit from the same state, in lock step,
    and measures at recorded steps, tensor by tensor, how far each has come from the base. Costs about `twins + 2`
    trainings in time. Of a training function or a command these are runs of their own, whose weights are kept as
    sketches: distances then have an interval, and what needs single elements or the loss is not measured.

    Args:
        task: name of a built-in task (`"digits"`), `"FILE.py:FUNCTION"`, a `Task`, a function `train(seed)` that
            trains, or the words of a command (`["python", "train.py"]`).
        **settings: of the study and of its task.
        quiet: show no progress.

    Returns:
        The finished study.

    Raises:
        LastbitError: a setting, the task or the folder is invalid; or the user interrupted (finished trainings are
            safe).

    Example:
        >>> from lastbit import trace
        >>> study = trace("digits", epochs=5, quiet=True)  # doctest: +SKIP
        >>> study.result.verdict_kind, study.result.first_difference  # doctest: +SKIP
    """
    return cast(TraceStudy, make(TRACE, task, quiet=quiet, **settings))
