"""`lastbit log`: a study sent to a logger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lastbit.cli.fields import completing
from lastbit.cli.pde import progress_bar
from lastbit.core.exit_codes import ExitCode
from lastbit.core.terminal import say
from lastbit.core.words import capitalised
from lastbit.integrations.log import LOGGERS

__all__ = ["log"]


def log(
    folder: Annotated[Path, typer.Argument(help="Folder of the study.", show_default=False)],
    to: Annotated[
        str,
        typer.Option(
            metavar="|".join(LOGGERS), help="The logger.", show_default=False, autocompletion=completing(LOGGERS)
        ),
    ],
    project: Annotated[
        str | None,
        typer.Option(
            "--project",
            "--experiment",
            metavar="NAME",
            help="W&B's project or MLflow's experiment (lastbit).",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|URI",
            help="TensorBoard's folder (runs), MLflow's tracking URI, the folder for W&B's files or its server "
            "(what MLflow and W&B are set to).",
            show_default=False,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the verdict alone.")] = False,
) -> ExitCode:
    """Send a study to TensorBoard, MLflow or W&B: metrics of its runs by step, numbers, verdict, report and JSON.

    A study that is being trained or was stopped is sent as far as it is, and left as it was.
    """
    import lastbit

    study = lastbit.open_study(folder)
    with progress_bar("logging", quiet) as progress:
        where = lastbit.log(study, to=to, project=project, at=at, progress=progress)
    say(capitalised(study.verdict))
    if not quiet:
        say(f"logged  {where}")
    return ExitCode.ANSWERED
