"""`lastbit pde`: what the theory predicts, and what the gradient-descent PDE does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from lastbit.cli.fail_if import FailIf, conditions_of, judged_alone
from lastbit.cli.fields import SeveralValues, command_from, completing, option
from lastbit.cli.output import JSON_HELP, JsonWriter, check_writable, hand_over, json_alone, write_text
from lastbit.cli.studies import refuse_dash
from lastbit.core.config import Config
from lastbit.core.errors import LastbitError, choose
from lastbit.core.exit_codes import ExitCode
from lastbit.core.keywords import keywords
from lastbit.core.terminal import standard_error
from lastbit.studies.pde.settings import (
    FLOWS,
    PROBLEMS,
    CnnStabilitySettings,
    ComplexitySettings,
    DeepStabilitySettings,
    LinearSimulateSettings,
    LinearStabilitySettings,
    PhaseSettings,
    SimulateSettings,
    WindowSettings,
)

__all__ = ["app", "progress_bar"]

_OUTPUT = "Output"

AnyProblem: TypeAlias = Annotated[
    str, typer.Argument(help=f"{', '.join(PROBLEMS)}.", show_default=False, autocompletion=completing(PROBLEMS))
]
FlowProblem: TypeAlias = Annotated[
    str,
    typer.Argument(help=f"{', '.join(FLOWS)} (default cnn).", show_default=False, autocompletion=completing(FLOWS)),
]
Problem: TypeAlias = Annotated[str, typer.Argument(help="cnn (default).", show_default=False)]
Json: TypeAlias = Annotated[Path | None, option(JSON_HELP, _OUTPUT)]
Markdown: TypeAlias = Annotated[Path | None, option("Write the answer as Markdown to this file too.", _OUTPUT)]
Plot: TypeAlias = Annotated[Path | None, option("Draw it: FILE.png, FILE.svg or FILE.pdf.", _OUTPUT)]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", help="Print the verdict alone.", rich_help_panel=_OUTPUT)]

app = typer.Typer(
    invoke_without_command=True,
    help="Stable learning rates and weight decays from the PDE that gradient descent discretises, and what the flow "
    "does outside them.",
)


@app.callback()
def help_without_command(context: typer.Context) -> None:
    """Print the help where no command is given, and end as what is incomplete does."""
    if context.invoked_subcommand is None:
        context.get_help()  # which prints it, in colour
        raise typer.Exit(ExitCode.BAD_INPUT)


def stability(
    problem: AnyProblem,
    *,
    json: Json = None,
    markdown: Markdown = None,
    plot: Plot = None,
    fail_if: FailIf = None,
    quiet: Quiet = False,
    **settings: Any,
) -> ExitCode:
    """Say up to which step, and for networks between which weight decays, a scheme is stable."""
    conditions = conditions_of(fail_if)
    with _working("spectra", (json, markdown, plot), quiet or problem != "deep", settings.get("image")) as (
        functions,
        progress,
        writer,
    ):
        result = functions.pde_stability(problem, progress=progress, **settings)
        _show(result, writer, markdown, plot, quiet)
    return judged_alone(conditions, result.to_json())


def _flow(name: str, counted: str, config: type[Config], text: str) -> None:
    """Add a command on the flow of the one-layer CNN, with this help."""

    def command(
        problem: Problem = "cnn",
        *,
        json: Json = None,
        markdown: Markdown = None,
        plot: Plot = None,
        fail_if: FailIf = None,
        quiet: Quiet = False,
        **settings: Any,
    ) -> ExitCode:
        if problem != "cnn":
            raise LastbitError(f"problem {problem!r}: this command knows cnn; for others use lastbit pde stability")
        conditions = conditions_of(fail_if)
        with _working(counted, (json, markdown, plot), quiet, settings.get("image")) as (functions, progress, writer):
            result = getattr(functions, f"pde_{name}")(progress=progress, **settings)
            _show(result, writer, markdown, plot, quiet)
        return judged_alone(conditions, result.to_json())

    command.__doc__ = text
    app.command(name, cls=SeveralValues)(command_from(command, keywords(config)))


def simulate(
    problem: FlowProblem = "cnn",
    *,
    json: Json = None,
    markdown: Markdown = None,
    plot: Plot = None,
    fail_if: FailIf = None,
    quiet: Quiet = False,
    **settings: Any,
) -> ExitCode:
    """Run a flow and say how it ends: that of the network, or a classical problem, which may blow up.

    The network needs --lr and --weight-decay, a classical problem --dt: lastbit pde simulate heat --dt 0.55
    """
    conditions = conditions_of(fail_if)
    with _working("steps", (json, markdown, plot), quiet, settings.get("image")) as (functions, progress, writer):
        result = functions.pde_simulate(problem, progress=progress, **settings)
        _show(result, writer, markdown, plot, quiet)
    return judged_alone(conditions, result.to_json())


def complexity(
    *,
    json: Json = None,
    markdown: Markdown = None,
    plot: Plot = None,
    fail_if: FailIf = None,
    quiet: Quiet = False,
    **settings: Any,
) -> ExitCode:
    """Measure how the stable learning rate moves with depth, width and kernel size.

    With no options: 11 networks at 8 seeds each, in under a minute.
    """
    conditions = conditions_of(fail_if)
    with _working("networks", (json, markdown, plot), quiet, settings.get("image")) as (functions, progress, writer):
        result = functions.pde_complexity(progress=progress, **settings)
        _show(result, writer, markdown, plot, quiet)
    return judged_alone(conditions, result.to_json())


_NETWORKS = (CnnStabilitySettings, DeepStabilitySettings, LinearStabilitySettings)
app.command("stability", cls=SeveralValues)(command_from(stability, keywords(*_NETWORKS)))
app.command("complexity", cls=SeveralValues)(command_from(complexity, keywords(ComplexitySettings)))
app.command("simulate", cls=SeveralValues)(command_from(simulate, keywords(SimulateSettings, LinearSimulateSettings)))
_flow(
    "window",
    "rounds of simulations",
    WindowSettings,
    "Find the learning rates at which the flow converges, is restrained, and blows up, with theory beside them.",
)
_flow(
    "phase",
    "steps",
    PhaseSettings,
    "Map how the flow ends over learning rate and weight decay, with the curves of theory on top.",
)


@contextmanager
def _working(
    what: str, targets: tuple[Path | None, Path | None, Path | None], quiet: bool, image: str | None = None
) -> Iterator[tuple[Any, Callable[[int, int], None] | None, JsonWriter | None]]:
    """Refuse files that could not be written before any work; hand out functions, a bar and what writes JSON."""
    check_writable(*targets, reads=[image])
    json, markdown, plot = targets
    if markdown is not None:
        refuse_dash("markdown", markdown)
    if plot is not None:
        choose(plot.suffix.lower().lstrip(".") or "(none)", ("png", "svg", "pdf"), "figure format")
    import lastbit

    with json_alone(json) as writer, progress_bar(what, quiet) as progress:
        yield lastbit, progress, writer


@contextmanager
def progress_bar(what: str, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar on a terminal, and nothing elsewhere."""
    if quiet or not standard_error().isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=standard_error()), transient=True) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _show(result: Any, json: JsonWriter | None, markdown: Path | None, plot: Path | None, quiet: bool) -> None:
    """Write the files, then print the answer and the numbers behind it."""
    files: dict[str, Callable[[], Path | None]] = {}
    if json is not None:
        files["JSON"] = lambda: json(result.to_json())
    if markdown is not None:
        files["markdown"] = lambda: write_text(markdown, result.markdown, "--markdown")
    if plot is not None:
        files["figure"] = lambda: result.plot(plot) or plot
    hand_over(files, result.verdict, result.print_page, quiet)
