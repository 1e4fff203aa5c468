"""What a check of sameness has besides its two programs: what is compared, how thoroughly, and what is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, ConfigDict

from lastbit.core.keywords import setting
from lastbit.studies.frame.settings import CI_FILES, Deterministic, Device, Format, StudySettings, Timeout

__all__ = ["SameSettings"]

_File = Annotated[str | None, BeforeValidator(lambda file: str(file) if isinstance(file, Path) else file)]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)


def _assignments(given: object) -> object:
    """Return NAME=VALUE for each of a mapping, and what is not one as it is.

    Raises:
        ValueError: a word is no NAME=VALUE; says what to write instead.
    """
    words = [f"{name}={value}" for name, value in given.items()] if isinstance(given, dict) else given
    words = (words,) if isinstance(words, str) else words
    for word in words if isinstance(words, tuple | list) else ():
        if isinstance(word, str) and not _NAME.fullmatch(word):
            raise ValueError(f"{word!r} is no NAME=VALUE: write it as OMP_NUM_THREADS=2")
    return words


def _places(given: object) -> object:
    """Return FILE:NAME,NAME as words.

    Raises:
        ValueError: one names nothing.
    """
    words = (given,) if isinstance(given, str) else given
    for word in words if isinstance(words, tuple | list) else ():
        names = word.rpartition(":")[2].split(",") if isinstance(word, str) else ["x"]
        if not all(name.strip().replace(".", "_").isidentifier() for name in names):
            raise ValueError(f"{word!r} names no objects: write FILE:NAME,NAME, such as train.py:model,ema")
    return words


class SameSettings(StudySettings):
    """How a candidate is held against its reference."""

    model_config = ConfigDict(json_schema_extra={"panel": "What is compared"})

    decides: ClassVar[tuple[str, ...]] = ("task",)
    of_tasks: ClassVar[tuple[str, ...]] = ("dtype", "device")
    commands: ClassVar[bool] = True
    unasked: ClassVar[tuple[str, ...]] = ("metric_file", "metric_tag", "metric_mlflow", "metric_of", "better", "reseed")
    files: ClassVar[Mapping[str, str]] = CI_FILES

    candidate_env: Annotated[
        tuple[str, ...],
        BeforeValidator(_assignments),
        setting("NAME=VALUE, a variable of the candidate's environment alone", shown="none", verbatim=True),
    ] = ()
    objects: Annotated[
        tuple[str, ...],
        BeforeValidator(_places),
        setting(
            "FILE:NAME,NAME: variables that hold buffers or copies of weights, compared besides those that are found",
            shown="none",
            verbatim=True,
        ),
    ] = ()
    metric: Annotated[
        tuple[str, ...],
        BeforeValidator(lambda word: (word,) if isinstance(word, str) else word),
        setting(
            "name of a number that both commands print, or a /pattern/ with one group; told beside the answer",
            shown="none",
            verbatim=True,
        ),
    ] = ()
    every: Annotated[int, setting("force and compare every n-th step alone", ge=1)] = 1
    quick: Annotated[
        bool,
        setting("three runs in place of about nine: one measure of rounding, and no control", flags=("--quick",)),
    ] = False
    record: Annotated[
        _File, setting("keep the reference in this file too, for --against on another machine or version")
    ] = None
    against: Annotated[_File, setting("the reference in this file of --record, in place of --reference")] = None
    steps: Annotated[int, setting("times that a step is called, where a function builds one and returns it", ge=1)] = 64
    seed: Annotated[int, setting("seed of every run, where the program takes one", ge=0)] = 0
    # Of every program, not of commands alone: all of them run in processes of their own.
    deterministic: Deterministic = True
    timeout: Timeout = None
    dtype: Annotated[Format, setting("of the weights of a task", panel="The arithmetic")] = "float32"
    device: Device = "auto"

    @property
    def environment(self) -> dict[str, str]:
        """What the candidate's environment has besides."""
        return dict(word.split("=", 1) for word in self.candidate_env)
