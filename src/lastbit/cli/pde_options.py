"""What the commands of `lastbit pde` share: their options, the bar while they work, and how an answer is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeAlias

import typer

from lastbit.cli import options
from lastbit.cli.output import announce_paths, check_writable, write_json

__all__ = [
    "Beta",
    "Boundary",
    "Channels",
    "Device",
    "Image",
    "ImageSize",
    "InitScale",
    "Json",
    "Kernel",
    "Label",
    "Momentum",
    "Plot",
    "Pooling",
    "Problem",
    "Quiet",
    "Scheme",
    "Seed",
    "check_targets",
    "given",
    "option",
    "progress_bar",
    "show",
]

_PROBLEM, _OUTPUT = "The problem", "Output"


def option(help: str, panel: str = _PROBLEM) -> Any:
    """Return an option of the problem, unless another panel is named."""
    return options.option(help, panel)


Problem: TypeAlias = Annotated[str, typer.Argument(help="cnn.", show_default=False)]
Image: TypeAlias = Annotated[str | None, option("checkerboard (default), noise, or an image file.")]
ImageSize: TypeAlias = Annotated[int | None, option("Rows and columns of the image (256).")]
Channels: TypeAlias = Annotated[int | None, option("Channels of the image (1); a file has 1 or 3.")]
Kernel: TypeAlias = Annotated[int | None, option("Rows and columns of the window (32).")]
Beta: TypeAlias = Annotated[float | None, option("Scale inside the swish (1).")]
Label: TypeAlias = Annotated[float | None, option("Label, 0 to 1 (1).")]
Pooling: TypeAlias = Annotated[str | None, option("mean (default) or sum over positions.")]
Boundary: TypeAlias = Annotated[str | None, option("valid (default) or periodic.")]
Scheme: TypeAlias = Annotated[str | None, option("euler (default), heavy-ball, nesterov; more for other problems.")]
Momentum: TypeAlias = Annotated[float | None, option("Momentum of heavy-ball and nesterov (0.9).")]
Seed: TypeAlias = Annotated[int | None, option("Seed of the start, and of a noise image (7).")]
InitScale: TypeAlias = Annotated[float | None, option("Standard deviation of the start (1).")]
Device: TypeAlias = Annotated[str | None, option("cpu (default), cuda, cuda:N, auto.")]
Json: TypeAlias = Annotated[Path | None, option("Write the whole result to this file.", _OUTPUT)]
Plot: TypeAlias = Annotated[Path | None, option("Draw it: FILE.png, FILE.svg or FILE.pdf.", _OUTPUT)]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", help="Print the answer alone.", rich_help_panel=_OUTPUT)]


class _Result(Protocol):
    @property
    def sentence(self) -> str: ...

    @property
    def table(self) -> tuple[list[str], list[list[str]]]: ...

    def to_json(self) -> dict[str, Any]: ...

    def plot(self, path: str | Path) -> None: ...


def given(**values: Any) -> dict[str, Any]:
    """Return what the user gave; the rest has its default where it belongs."""
    return {name: value for name, value in values.items() if value is not None}


def check_targets(json: Path | None, plot: Path | None) -> None:
    """Refuse files that could not be written before any work is done."""
    check_writable(json, plot)
    if plot is not None:
        from lastbit.studies.pde import check_figure_path

        check_figure_path(plot)


@contextmanager
def progress_bar(what: str, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar on a terminal, and nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show(result: _Result, json: Path | None, plot: Path | None, quiet: bool) -> None:
    """Print the answer, then the table; write the files."""
    print(result.sentence)
    if not quiet:
        from rich import box
        from rich.console import Console
        from rich.table import Table

        headers, rows = result.table
        table = Table(box=box.SIMPLE_HEAD)
        for i, header in enumerate(headers):
            table.add_column(header, justify="left" if i == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(*row)
        Console().print(table)
    paths = {}
    if json is not None:
        paths["JSON"] = write_json(json, result.to_json())
    if plot is not None:
        result.plot(plot)
        paths["figure"] = plot
    if paths and not quiet:
        announce_paths(paths)
