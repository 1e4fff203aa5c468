"""The trainings of a trace: one for each format and learning rate."""

from __future__ import annotations

from lastbit.core.errors import LastbitError
from lastbit.report.formatting import number
from lastbit.studies.frame.kind import Cell
from lastbit.studies.frame.program import Program
from lastbit.studies.trace.settings import TraceSettings
from lastbit.tasks import TaskConfig

__all__ = ["check_scaled_time", "trace_cells"]


def check_scaled_time(settings: TraceSettings, program: Program) -> None:
    """Refuse to scale the time of a single rate.

    Raises:
        LastbitError: it is asked for.
    """
    if settings.scaled_time and len(_rates(program)) < 2:
        raise LastbitError("--scaled-time scales the epochs of a sweep: name two learning rates or more, --lr 0.1 0.05")


def trace_cells(settings: TraceSettings, program: Program) -> list[Cell]:
    """Return the trainings of a sweep, by format, then learning rate, in the order in which they were named.

    A function or command is one training.

    On scaled time the first rate takes the task's epochs, and every other `epochs * first / rate`, rounded to whole
    epochs, so that `lr x steps` agrees to within half an epoch.

    Raises:
        LastbitError: two rates agree in six digits, by which trainings are named.
    """
    if program.is_opaque:
        return [Cell(number=0, name=f"seed{settings.seed:03d}", seed=settings.seed)]
    found: list[Cell] = []
    rates = _rates(program)
    for dtype in settings.dtype:
        for lr in rates:
            name: str = dtype
            changes, start = {}, settings.from_step
            if lr is not None:
                name, changes = f"lr{number(lr, 6)}-{dtype}", {"lr": lr}
                if settings.scaled_time and rates[0] is not None:
                    changes["epochs"] = max(1, round(_epochs(program) * rates[0] / lr))
                    start = round(settings.from_step * rates[0] / lr)
            mine = {"dtype": (dtype,), "from_step": start}
            found.append(Cell(number=len(found), name=name, seed=settings.seed, program=changes, settings=mine))
    if len({cell.name for cell in found}) < len(found):
        told = " ".join(number(lr, 9) for lr in rates)
        raise LastbitError(f"--lr {told}: write rates that differ in six digits")
    return found


def _rates(program: Program) -> tuple[float | None, ...]:
    """Return the learning rates of the sweep; None alone where the task sets its rate itself."""
    source = program.source
    return program.axes.get("lr", (source.lr if isinstance(source, TaskConfig) else None,))


def _epochs(program: Program) -> int:
    """Return the epochs of a built-in task, whose settings are resolved."""
    source = program.source
    assert isinstance(source, TaskConfig), "its rates are the task's own"
    assert source.epochs is not None, "resolved"
    return source.epochs
