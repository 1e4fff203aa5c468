"""What the commands that make a study do: take the settings of a TOML file, the flags over them, train, present."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from lastbit.cli.output import check_writable, present
from lastbit.core.exit_codes import ExitCode

__all__ = ["StudyFile", "make_study"]

StudyFile: TypeAlias = Annotated[
    Path | None,
    typer.Argument(help="TOML study file with the same names as the flags; flags override it.", show_default=False),
]


def make_study(command: str, parameters: Mapping[str, Any]) -> int:
    """Make the study that a command asks for, present it, and return the exit code: 3 where a control failed.

    Args:
        command: `audit`, `trace` or `eos`, as the function of `lastbit.studies` is called.
        parameters: the command's, by name, as `locals()` gives them at its start.

    Raises:
        LastbitError: the study file, a flag, the task or a folder does not do; or the user interrupted.
    """
    settings = _chosen_settings(parameters)
    check_writable(parameters["json"])

    import lastbit

    study = getattr(lastbit, command)(**settings, quiet=parameters["quiet"])
    present(study, json=parameters["json"], quiet=parameters["quiet"])
    return ExitCode.ANSWERED if study.passed else ExitCode.NOT_REPRODUCIBLE


def _chosen_settings(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags that were given, over the settings of the study file, if there is one.

    `study` is the file; `json` and `quiet` are left out. What was not given is None or an empty list.
    """
    flags = {name: value for name, value in parameters.items() if name not in ("study", "json", "quiet")}
    given = {name: value for name, value in flags.items() if value not in (None, [])}
    if parameters["study"] is None:
        return given
    from lastbit.studies.frame.settings import read_study_file

    from_file = read_study_file(parameters["study"], [name for name in flags if name != "resume"])
    if "resume" in given:
        from_file.pop("out", None)
    return {**from_file, **given}
