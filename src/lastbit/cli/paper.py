"""`lastbit paper`: the published claims, measured again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from lastbit.cli.fields import SeveralValues, command_from, completing, option
from lastbit.cli.output import JSON_HELP, check_writable, hand_over, json_alone
from lastbit.core.exit_codes import ExitCode
from lastbit.core.keywords import keywords
from lastbit.core.terminal import say
from lastbit.studies.paper.settings import IDS, PaperSettings

__all__ = ["app"]

_OUTPUT = "Output"

Ids: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        help=f"{IDS[0]} to {IDS[-1]}, or all.", show_default=False, autocompletion=completing([*IDS, "all"])
    ),
]
Json: TypeAlias = Annotated[Path | None, option(JSON_HELP, _OUTPUT)]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", help="Print the verdict alone.", rich_help_panel=_OUTPUT)]

app = typer.Typer(
    invoke_without_command=True,
    help="Every published claim, measured again and judged by a rule that was written down before.",
)


@app.callback()
def help_without_command(context: typer.Context) -> None:
    """Print the help where no command is given, and end as what is incomplete does."""
    if context.invoked_subcommand is None:
        context.get_help()  # which prints it, in colour
        raise typer.Exit(ExitCode.BAD_INPUT)


@app.command("list")
def list_claims(json: Json = None) -> ExitCode:
    """List the claims: what each says, the figure or table it is drawn as, and the time it takes on this machine."""
    check_writable(json)
    from lastbit.studies.paper.listing import listed

    say("timing the steps that the claims are made of ...", error=True)
    with json_alone(json) as writer:
        found = listed()
        files: dict[str, Callable[[], Path | None]] = {}
        if writer is not None:
            files["JSON"] = lambda: writer(found.to_json())
        hand_over(files, found.page.verdict, found.print_summary, quiet=False)
    return ExitCode.ANSWERED


def run(claims: Ids, *, json: Json = None, quiet: Quiet = False, **settings: Any) -> ExitCode:
    """Measure claims, judge them and draw their figures: lastbit paper run C6, or lastbit paper run all.

    What is measured is kept piece by piece: the same command goes on where it was stopped. Ends with 0 where
    every claim could be judged, held or not, and with 4 where one is undecided.
    """
    check_writable(json)
    from lastbit.studies.paper.run import paper

    with json_alone(json) as writer:
        answer = paper(claims, quiet=quiet, **settings)
        files: dict[str, Callable[[], Path | None]] = {"report": answer.report}
        if writer is not None:
            files["JSON"] = lambda: writer(answer.to_json())
        hand_over(files, answer.verdict, answer.print_summary, quiet)
    return answer.exit_code


app.command("run", cls=SeveralValues)(command_from(run, keywords(PaperSettings)))


@app.command("report")
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of measured claims.", show_default=False)],
    out: Annotated[Path | None, option("The report (FOLDER/report.html).", _OUTPUT)] = None,
    markdown: Annotated[
        Path | None, option("Write the whole page to this file, its figures beside it.", _OUTPUT)
    ] = None,
    json: Json = None,
    quiet: Quiet = False,
) -> ExitCode:
    """Judge and draw measured claims again, without measuring."""
    check_writable(out, json, markdown)
    from lastbit.studies.paper.run import paper_report

    with json_alone(json) as writer:
        answer = paper_report(folder)
        files: dict[str, Callable[[], Path | None]] = {"report": lambda: answer.report(out)}
        if markdown is not None:
            files["Markdown"] = lambda: answer.write_markdown(markdown)
        if writer is not None:
            files["JSON"] = lambda: writer(answer.to_json())
        hand_over(files, answer.verdict, answer.print_summary, quiet)
    return answer.exit_code
