"""The settings of a trace: which twins, from when, what is measured, and the members of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, field_validator, model_validator

from lastbit.core.config import Config, validated
from lastbit.core.errors import LastbitError, choose
from lastbit.studies.frame.settings import DTYPES, split_settings
from lastbit.tasks import TaskConfig, resolve

__all__ = ["Member", "TraceSettings", "members", "trace_settings"]


class TraceSettings(Config):
    """The twins and the measures of a trace; what is trained stands in a `TaskConfig`.

    `lr` and `dtype` name the members of a sweep: each pair of a learning rate and a format is one training with its
    own twins. `lr` is empty for a task that sets its rate itself.
    """

    twins: int = Field(default=3, ge=1, le=1000, description="perturbed runs beside the base run and its exact repeat")
    every: int = Field(default=1, ge=1, description="record every so many steps")
    from_step: int = Field(default=0, ge=0, description="the step at which the twins branch off the base run")
    renormalise: bool = Field(default=False, description="bring a twin back to its base whenever it has left it")
    tangent: bool = Field(default=False, description="carry a tangent along the base run")
    scaled_time: bool = Field(default=False, description="scale the epochs of a sweep so that lr x steps stays")
    layer: str | None = Field(default=None, description="convolution whose filters the report maps")
    perturb: Literal["rescale", "ulp", "rounding", "reorder"] = Field(
        default="rescale", description="how the last bit is perturbed"
    )
    seed: int = Field(default=0, ge=0, description="seed of the training")
    lr: tuple[PositiveFloat, ...] = Field(default=(), description="learning rates, one member each")
    dtype: tuple[str, ...] = Field(default=("float32",), min_length=1, description="formats, one member each")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")

    @field_validator("dtype")
    @classmethod
    def _known_formats(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            choose(name, DTYPES, "--dtype")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, values in (("lr", self.lr), ("dtype", self.dtype)):
            if len(set(values)) < len(values):
                raise LastbitError(f"--{name} names {' '.join(map(str, values))}: write each value once")
        if self.renormalise and "bfloat16" in self.dtype:
            raise LastbitError(
                "--renormalise with --dtype bfloat16: its last bit is 0.4% of a weight, too coarse to bring a twin "
                "back by a factor; use float32 or float64"
            )
        return self


@dataclass(frozen=True, kw_only=True)
class Member:
    """One training of a sweep, with its twins; a trace without a sweep has one."""

    name: str
    """Usable as a file name."""
    lr: float | None
    """None where the task sets its rate itself."""
    dtype: str
    epochs: int | None
    """None for those of the task."""
    from_step: int


def trace_settings(task: str | None, settings: Mapping[str, Any]) -> tuple[TaskConfig, TraceSettings]:
    """Work out what is to be traced from flat settings; `lr` and `dtype` may hold several values.

    Raises:
        LastbitError: a name, value or combination that does not do.
    """
    flat = {name: value for name, value in settings.items() if value is not None}
    rates, formats = flat.pop("lr", ()), flat.pop("dtype", ())
    if task is not None:
        flat["task"] = task
    for_task, for_trace = split_settings(flat, TraceSettings)
    # `data_root` and the like go with the task; the rates are checked one by one, as those of the task.
    lrs = _numbers(rates)
    configs = [validated(TaskConfig, {**for_task, "lr": lr}, flag="--") for lr in lrs or (None,)]
    full = resolve(configs[0])
    if formats:
        for_trace["dtype"] = _words(formats)
    for_trace["lr"] = lrs or (() if full.lr is None else (full.lr,))
    config = validated(TraceSettings, for_trace, flag="--")
    if config.scaled_time and len(config.lr) < 2:
        raise LastbitError("--scaled-time scales the epochs of a sweep: name two learning rates or more, --lr 0.1 0.05")
    return full, config


def members(config: TraceSettings, epochs: int) -> list[Member]:
    """Return the trainings of a sweep, by format, then learning rate, in the order in which they were named.

    On scaled time the first rate takes the task's epochs, and every other `epochs * first / rate`, rounded to whole
    epochs, so that `lr x steps` agrees to within half an epoch.
    """
    found = []
    for dtype in config.dtype:
        for lr in config.lr or (None,):
            name, count, start = dtype, None, config.from_step
            if lr is not None:
                name = f"lr{lr:g}-{dtype}"
                if config.scaled_time:
                    count = max(1, round(epochs * config.lr[0] / lr))
                    start = round(config.from_step * config.lr[0] / lr)
            found.append(Member(name=name, lr=lr, dtype=dtype, epochs=count, from_step=start))
    if len({member.name for member in found}) < len(found):
        raise LastbitError(f"--lr {' '.join(f'{lr:.9g}' for lr in config.lr)}: write rates that differ in six digits")
    return found


def _words(value: Any) -> tuple[str, ...]:
    """Return one word, words separated by commas, or several of either, as words."""
    parts = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    return tuple(word for part in parts for word in str(part).replace(",", " ").split())


def _numbers(value: Any) -> tuple[float, ...]:
    found = []
    for word in _words(value):
        try:
            found.append(float(word))
        except ValueError:
            raise LastbitError(
                f"--lr {word!r} is no number: write learning rates such as --lr 0.1, or --lr 0.1 0.05"
            ) from None
    return tuple(found)
