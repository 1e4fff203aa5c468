"""The edge of stability: sharpness against the optimizer's limit along a training, twins in lock step beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from lastbit.core.keywords import takes
from lastbit.core.threads import weight_count
from lastbit.report.formatting import plural
from lastbit.studies.eos.cells import edge_cells, edge_defaults, settled
from lastbit.studies.eos.page import eos_page
from lastbit.studies.eos.result import EosResult, EosStudy, conclude
from lastbit.studies.eos.settings import EosSettings
from lastbit.studies.eos.worker import rehearse, train
from lastbit.studies.frame.kind import Cell, Kind, Plan
from lastbit.studies.frame.make import make
from lastbit.studies.frame.settings import study_keywords
from lastbit.tasks import Task

__all__ = ["EOS", "Numbers", "eos"]

Numbers: TypeAlias = float | str | Sequence[float | str] | None
"""One value, or the values along an axis of a sweep."""


def _steps(settings: EosSettings, task: Task) -> int:
    return min(settings.steps or task.total_steps, task.total_steps)


def _sample(plan: Plan[EosSettings], tasks: Mapping[int, Task]) -> Cell:
    """Return the cell of the largest network: it says best what the sweep's time is spent on."""
    return max(plan.cells, key=lambda cell: weight_count(tasks[cell.number].model))


def _announce(plan: Plan[EosSettings], jobs: int, steps: int) -> str:
    twins = plan.settings.twins
    beside = f"base, exact repeat, {plural(twins, 'twin')}" if twins else "no twins"
    runs = plural(twins + 2 if twins else 1, "run")
    return f"edge of stability of {plural(jobs, 'training')} x {runs} ({beside}), {plural(steps, 'step')},"


EOS = Kind(
    name="eos",
    called="an edge-of-stability study",
    settings=EosSettings,
    result=EosResult,
    study=EosStudy,
    defaults=edge_defaults,
    settle=settled,
    cells=edge_cells,
    rehearse=rehearse,
    train=train,
    steps=_steps,
    sample=_sample,
    announce=_announce,
    conclude=conclude,
    page=eos_page,
)
"""The kind of study that `lastbit eos` makes."""


@takes(study_keywords(EosSettings))
def eos(task: str | Task | None = None, *, quiet: bool = False, **settings: Any) -> EosStudy:
    """Follow trainings along their edge of stability: sharpness against the optimizer's limit, twins beside it.

    Trains each cell of the sweep with an exact repeat and `twins` perturbed twins in lock step, and measures the
    sharpness every `every` steps. With no settings: full-batch gradient descent at a rate of 0.1 on 600 digits. `lr`,
    `momentum`, `weight_decay`, `depth`, `width` and `kernel` may be sequences, and make a sweep; so does `seeds` above
    1. Of a task in a file they are arguments of its function.

    Args:
        task: name of a built-in task (`"digits"`), `"FILE.py:FUNCTION"`, or a `Task`.
        **settings: of the study and of its task.
        quiet: show no progress.

    Returns:
        The finished study.

    Raises:
        LastbitError: a setting, the task or the folder is invalid; or the user interrupted (finished trainings are
            safe).

    Example:
        >>> from lastbit import eos
        >>> study = eos("digits", weight_decay=(0, 0.01), steps=600, quiet=True)  # doctest: +SKIP
        >>> study.result.ratio_tail.estimate  # doctest: +SKIP
        1.03
    """
    return cast(EosStudy, make(EOS, task, quiet=quiet, **settings))
