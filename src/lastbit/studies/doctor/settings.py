"""What the doctor has besides its program: which seed, how a cure is confirmed, which record it is held against."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, ConfigDict

from lastbit.core.keywords import setting
from lastbit.studies.frame.settings import CI_FILES, Deterministic, Device, Format, StudySettings, Timeout

__all__ = ["DoctorSettings"]

_File = Annotated[str | None, BeforeValidator(lambda file: str(file) if isinstance(file, Path) else file)]


class DoctorSettings(StudySettings):
    """How two runs of one program are compared."""

    model_config = ConfigDict(json_schema_extra={"panel": "The two runs"})
    of_tasks: ClassVar[tuple[str, ...]] = ("dtype", "device")
    commands: ClassVar[bool] = True
    unasked: ClassVar[tuple[str, ...]] = (
        "metric",
        "metric_file",
        "metric_tag",
        "metric_mlflow",
        "metric_of",
        "better",
    )

    files: ClassVar[Mapping[str, str]] = CI_FILES

    seed: Annotated[int, setting("seed of both runs, where the program takes one", ge=0)] = 0
    runs: Annotated[
        int,
        setting("pairs with and without the change that the evidence suggests; 0 leaves the cure unconfirmed", ge=0),
    ] = 4
    record: Annotated[
        _File, setting("run once, and write what every step gave to this file, for --against on another machine")
    ] = None
    against: Annotated[_File, setting("run once, and compare with the run in this file of --record")] = None
    # Of every program, not of commands alone: all of them run in processes of their own.
    deterministic: Deterministic = False
    timeout: Timeout = None
    dtype: Annotated[Format, setting("of the weights of a task", panel="The arithmetic")] = "float32"
    device: Device = "auto"
