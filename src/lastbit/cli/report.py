"""`lastbit report`: draw a study again without training again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lastbit.cli.output import check_writable, present
from lastbit.core.exit_codes import ExitCode

__all__ = ["report"]


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of the study.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="The report (FOLDER/report.html; FOLDER-report.html during training).", show_default=False),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the whole result to this file.", show_default=False)] = None,
    export: Annotated[
        Path | None,
        typer.Option(help="Write the runs as a table: FILE.csv, FILE.parquet or FILE.nc.", show_default=False),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the verdict alone.")] = False,
) -> int:
    """Draw the report of a study again, finished or not, without training again.

    A study that is being trained or was stopped is drawn as far as it is, and its first line says so.
    """
    check_writable(out, json, export, studies=[folder])

    import lastbit

    study = lastbit.open_study(folder)
    present(study, report=out, json=json, export=export, quiet=quiet)
    return ExitCode.ANSWERED if study.too_early else study.result.exit_code
