"""`lastbit report`: draw a study again without training again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lastbit.cli.fail_if import FailIf, conditions_on, judged
from lastbit.cli.output import JSON_HELP, check_writable, json_alone, present
from lastbit.core.exit_codes import ExitCode

__all__ = ["report"]


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of the study.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="The report (FOLDER/report.html; FOLDER-report.html during training).", show_default=False),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            help=JSON_HELP,
            show_default=False,
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(help="Write the runs as a table: FILE.csv, FILE.parquet or FILE.nc.", show_default=False),
    ] = None,
    fail_if: FailIf = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the verdict alone.")] = False,
) -> int:
    """Draw the report of a study again, finished or not, without training again.

    A study that is being trained or was stopped is drawn as far as it is, and its first line says so.
    """
    check_writable(out, json, export, studies=[folder])

    import lastbit
    from lastbit.studies.frame.study import check_table

    if export is not None:
        check_table(export)
    study = lastbit.open_study(folder)
    conditions = conditions_on(fail_if, study.result.json_schema(), study.kind.called) if fail_if else []
    with json_alone(json) as writer:
        present(study, report=out, json=writer, export=export, quiet=quiet)
    return judged(conditions, study.to_json(), ExitCode.ANSWERED if study.too_early else study.result.exit_code)
