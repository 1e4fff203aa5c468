"""What `lastbit paper run` may be told. Nothing here imports PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from lastbit.core.keywords import setting
from lastbit.studies.frame.settings import ExecutorSettings

__all__ = ["IDS", "SCALES", "PaperSettings", "Scale"]

Scale = Literal["small", "medium", "full"]

SCALES: tuple[Scale, ...] = ("small", "medium", "full")
"""From minutes on a laptop to the published one."""

IDS = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9", "C10", "C11", "C12")
"""Of the claims, in order."""

_OUTPUT = "Output"


class PaperSettings(ExecutorSettings):
    """At which scale claims are measured, and where."""

    scale: Annotated[
        Scale, setting("small: minutes on two cores; medium: an hour or two; full: as published, for GPUs")
    ] = "small"
    device: Annotated[str, setting("where networks are trained: auto, cpu, cuda or cuda:N")] = "cpu"
    workers: Annotated[
        int | None, setting("number of processes, which decides no number; 1 stays in this one", shown="cores", ge=1)
    ] = None
    out: Annotated[
        str | Path | None,
        setting("folder, new or of the same scale to go on with", panel=_OUTPUT, shown="lastbit-studies/paper-SCALE"),
    ] = None
