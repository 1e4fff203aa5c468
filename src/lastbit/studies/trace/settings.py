"""The settings of a trace: which twins, from when, what is measured, and the trainings of a sweep."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from lastbit.core.config import Config
from lastbit.core.errors import LastbitError, choose
from lastbit.report.formatting import number
from lastbit.studies.frame.kind import DTYPES, Cell
from lastbit.studies.frame.program import Program
from lastbit.tasks import Task

__all__ = ["TraceSettings", "check_scaled_time", "trace_cells"]


class TraceSettings(Config):
    """The twins and the measures of a trace; what is trained is its program.

    Each pair of a format and one of the program's learning rates is one training with twins of its own; its settings
    hold that format alone.
    """

    twins: int = Field(
        default=3, ge=1, le=1000, description="perturbed runs in addition to the base run and its exact repeat"
    )
    every: int = Field(default=1, ge=1, description="steps between records")
    from_step: int = Field(default=0, ge=0, description="the step at which the twins branch off the base run")
    renormalise: bool = Field(default=False, description="bring a twin back to its base whenever it has moved away")
    tangent: bool = Field(default=False, description="carry a tangent along the base run")
    scaled_time: bool = Field(
        default=False, description="scale the epochs of a sweep so that lr x steps stays the same"
    )
    layer: str | None = Field(default=None, description="convolution whose filters the report maps")
    perturb: Literal["rescale", "ulp", "rounding", "reorder"] = Field(
        default="rescale", description="how the last bit is perturbed"
    )
    seed: int = Field(default=0, ge=0, description="seed of the training")
    dtype: tuple[str, ...] = Field(default=("float32",), min_length=1, description="formats, one training each")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")

    @field_validator("dtype", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        """Take one word, words separated by commas, or several of either."""
        parts = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
        return tuple(word for part in parts for word in str(part).replace(",", " ").split())

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.dtype:
            choose(name, DTYPES, "--dtype")
        if len(set(self.dtype)) < len(self.dtype):
            raise LastbitError(f"--dtype {' '.join(self.dtype)}: name each value once")
        if self.renormalise and "bfloat16" in self.dtype:
            raise LastbitError(
                "--renormalise with --dtype bfloat16: its last bit is 0.4% of a weight, too coarse to bring a twin "
                "back by a factor; use float32 or float64"
            )
        return self


def check_scaled_time(settings: TraceSettings, program: Program) -> None:
    """Refuse to scale the time of a single rate.

    Raises:
        LastbitError: it is asked for.
    """
    if settings.scaled_time and len(_rates(program)) < 2:
        raise LastbitError("--scaled-time scales the epochs of a sweep: name two learning rates or more, --lr 0.1 0.05")


def trace_cells(settings: TraceSettings, program: Program) -> list[Cell]:
    """Return the trainings of a sweep, by format, then learning rate, in the order in which they were named.

    On scaled time the first rate takes the task's epochs, and every other `epochs * first / rate`, rounded to whole
    epochs, so that `lr x steps` agrees to within half an epoch.

    Raises:
        LastbitError: two rates agree in six digits, by which trainings are named.
    """
    found: list[Cell] = []
    rates = _rates(program)
    for dtype in settings.dtype:
        for lr in rates:
            name, changes, start = dtype, {}, settings.from_step
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
    return program.axes.get("lr", (None if isinstance(source, Task) else source.lr,))


def _epochs(program: Program) -> int:
    """Return the epochs of a built-in task, whose settings are resolved."""
    source = program.source
    assert not isinstance(source, Task), "its rates are the task's own"
    assert source.epochs is not None, "resolved"
    return source.epochs
