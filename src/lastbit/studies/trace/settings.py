"""What a trace has besides its program: which twins, from when, what is measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from lastbit.core.errors import LastbitError
from lastbit.core.keywords import setting
from lastbit.studies.frame.settings import Device, Format, PerturbAny, StudySettings

__all__ = ["TraceSettings"]


class TraceSettings(StudySettings):
    """The twins and the measures of a trace; what is trained is its program.

    Each pair of a format and one of the program's learning rates is one training with twins of its own; its settings
    hold that format alone.
    """

    model_config = ConfigDict(json_schema_extra={"panel": "The twins"})
    sweeps: ClassVar[tuple[str, ...]] = ("lr",)
    of_tasks: ClassVar[tuple[str, ...]] = (
        "from_step",
        "renormalise",
        "tangent",
        "mechanism",
        "layer",
        "scaled_time",
        "dtype",
        "device",
    )
    commands: ClassVar[bool] = True
    reads_audits: ClassVar[bool] = True

    twins: Annotated[int, setting("perturbed runs in addition to the base run and its exact repeat", ge=1, le=1000)] = 3
    every: Annotated[int, setting("steps between records, more as a long run is thinned", ge=1)] = 1
    from_step: Annotated[int, setting("the step at which the twins branch off the base run", ge=0)] = 0
    renormalise: Annotated[
        bool, setting("bring a twin back to its base whenever it has moved away: the growth rate alone")
    ] = False
    tangent: Annotated[bool, setting("carry a tangent along the base run of sgd, adam or adamw too")] = False
    mechanism: Annotated[
        bool, setting("kick twins in float64 by 1e-14 to 1e-3 too: does growth depend on the size of a difference?")
    ] = False
    layer: Annotated[str | None, setting("convolution whose filters the report maps", shown="the most amplifying")] = (
        None
    )
    seed: Annotated[int, setting("seed of the training", ge=0)] = 0
    scaled_time: Annotated[
        bool,
        setting("scale the epochs of a sweep so that lr x steps stays the same", panel="Several values make a sweep"),
    ] = False
    dtype: Annotated[
        tuple[Format, ...],
        Field(min_length=1),
        setting("formats of the weights, one training each", panel="Several values make a sweep"),
    ] = ("float32",)
    perturb: PerturbAny = "rescale"
    device: Device = "auto"

    @field_validator("dtype", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        """Take one word, words separated by commas, or several of either."""
        parts = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
        return tuple(word for part in parts for word in str(part).replace(",", " ").split())

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.dtype)) < len(self.dtype):
            raise LastbitError(f"--dtype {' '.join(self.dtype)}: name each value once")
        if self.renormalise and "bfloat16" in self.dtype:
            raise LastbitError(
                "--renormalise with --dtype bfloat16: its last bit is 0.4% of a weight, too coarse to bring a twin "
                "back by a factor; use float32 or float64"
            )
        return self
