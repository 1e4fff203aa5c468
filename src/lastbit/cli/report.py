"""`lastbit report`: draw a study again without training again."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from lastbit.cli.fail_if import FailIf, conditions_of, conditions_on, judged, judged_alone
from lastbit.cli.output import JSON_HELP, check_folder, check_writable, json_alone, present, text_alone
from lastbit.core.errors import LastbitError
from lastbit.core.exit_codes import ExitCode

if TYPE_CHECKING:
    from lastbit.studies.frame.study import Study
    from lastbit.studies.gate.answer import GateAnswer

__all__ = ["MarkdownAlone", "report"]

_ALONE = Path("-")


class MarkdownAlone(TyperCommand):
    """A command whose `--markdown` may stand without a file, for standard output."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write `--markdown -` for `--markdown` before another flag or at the end."""
        words = [word for word, after in zip(args, [*args[1:], "--"], strict=True) for word in _with_file(word, after)]
        return super().parse_args(ctx, words)


def _with_file(word: str, after: str) -> list[str]:
    """Return the word, and a file behind it where it is `--markdown` without one.

    Example:
        >>> _with_file("--markdown", "--quiet"), _with_file("--markdown", "answer.md")
        (['--markdown', '-'], ['--markdown'])
    """
    alone = word == "--markdown" and after.startswith("--")
    return [word, str(_ALONE)] if alone else [word]


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
    markdown: Annotated[
        Path | None,
        typer.Option(
            help="Write the summary as Markdown for a pull request to this file, or without one alone to standard "
            "output.",
            show_default=False,
        ),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Write every figure as SVG and PNG into this folder.", show_default=False)
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(help="Write the runs as a table: FILE.csv, FILE.parquet or FILE.nc.", show_default=False),
    ] = None,
    fail_if: FailIf = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the verdict alone.")] = False,
) -> int:
    """Draw the report of a study again, finished or not, without training again; of a session of gate too.

    A study that is being trained or was stopped is drawn as far as it is, and its first line says so.
    """
    check_writable(out, json, markdown, export, studies=[folder])
    if figures is not None:
        check_folder(figures, [folder])
    alone = markdown == _ALONE
    if alone and json == _ALONE:
        raise LastbitError("--json - and --markdown are both to stand alone on standard output: name a file for one")
    from lastbit.studies.frame.study import Study, check_table

    if export is not None:
        check_table(export)
    found = _opened(folder)
    study = found if isinstance(found, Study) else None
    if study is not None:
        conditions = conditions_on(fail_if, study.result.json_schema(), study.kind.called) if fail_if else []
    elif export is None:
        conditions = conditions_of(fail_if)
    else:
        raise LastbitError(f"{folder} is a session of candidates, of which there is no table of runs: see --json")
    texts = {} if markdown is None or alone else {"markdown": markdown}
    written: list[str] = []
    with json_alone(json) as writer, text_alone(lambda: written) if alone else nullcontext():
        present(found, report=out, json=writer, export=export, figures=figures, texts=texts, quiet=quiet)
        if alone:
            written.append(found.markdown())
    if study is None:
        return judged_alone(conditions, found.to_json())
    return judged(conditions, found.to_json(), ExitCode.ANSWERED if study.too_early else study.result.exit_code)


def _opened(folder: Path) -> Study[Any] | GateAnswer:
    """Return a study, or what a session of candidates says."""
    import lastbit
    from lastbit.studies.kinds import is_session

    return lastbit.gate_status(folder) if is_session(folder) else lastbit.open_study(folder)
