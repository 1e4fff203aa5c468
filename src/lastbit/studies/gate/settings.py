"""What a session of candidates is told: what it declares before the first, and how its programs are run.

Nothing here imports PyTorch: the command line reads these classes to show its help.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from lastbit.core.config import Config
from lastbit.core.keywords import Keyword, keywords, setting
from lastbit.studies.compare.settings import CompareSettings
from lastbit.studies.frame.settings import CommandSettings, ExecutorSettings, FolderSettings, command_keywords

__all__ = ["OF_RUNS", "GateSettings", "RunSettings", "gate_keywords"]

_SESSION, _RUNS = "The session", "The runs"

OF_RUNS = ("metric", "better", "vary", "dtype", "device")
"""Settings of the runs, which are those of a comparison."""


class GateSettings(Config):
    """What a session declares, and what is done about one candidate."""

    candidates: Annotated[
        int | None,
        setting("how many the session will compare, declared before the first", panel=_SESSION, shown="100", ge=1),
    ] = None
    error_rate: Annotated[
        float, setting("largest expected share of false keeps among its keeps", panel=_SESSION, gt=0, lt=1)
    ] = 0.05
    budget: Annotated[
        int | None,
        setting("runs of the session at most, those of the baseline included", panel=_SESSION, shown="no limit", ge=1),
    ] = None
    declare: Annotated[
        int | None,
        setting(
            "go on with so many candidates in all, which raises the share of false keeps that is promised",
            panel=_SESSION,
            shown="none",
            ge=1,
        ),
    ] = None
    again: Annotated[
        bool,
        setting("compare a candidate that was decided once more, as a new one", panel=_SESSION, flags=("--again",)),
    ] = False


class RunSettings(ExecutorSettings):
    """How the runs of a session are executed: nothing of what they measure."""

    workers: Annotated[
        int | None,
        setting(
            "runs that are trained at once, in a process each",
            panel=_RUNS,
            shown="1; with --executor processes the cores",
            ge=1,
        ),
    ] = None


def gate_keywords() -> list[Keyword]:
    """Return what a session is asked."""
    of_runs = [one for one in keywords(CompareSettings) if one.name in OF_RUNS]
    known = command_keywords(CompareSettings)
    of_command = [one for one in keywords(CommandSettings) if one.name in known and one.name not in OF_RUNS]
    threads = [one for one in keywords(FolderSettings) if one.name == "threads"]
    how = [replace(one, panel=_RUNS) for one in (*of_runs, *threads, *keywords(RunSettings))]
    return [*keywords(GateSettings), *how, *of_command]
