"""`lastbit pde`: what the theory predicts, and what the gradient-descent PDE does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeAlias

import typer

from lastbit.cli.output import announce_paths, check_writable, write_json
from lastbit.studies import LastbitError

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Stable learning rates and weight decays from the PDE that gradient descent discretises, and what the flow "
    "does outside them.",
)

_PROBLEM, _OUTPUT = "The problem", "Output"


def _option(help: str, panel: str = _PROBLEM) -> Any:
    return typer.Option(help=help, rich_help_panel=panel, show_default=False)


Problem: TypeAlias = Annotated[str, typer.Argument(help="cnn.", show_default=False)]
Image: TypeAlias = Annotated[str | None, _option("checkerboard (default), noise, or an image file.")]
ImageSize: TypeAlias = Annotated[int | None, _option("Rows and columns of the image (256).")]
Channels: TypeAlias = Annotated[int | None, _option("Channels of the image (1); a file has 1 or 3.")]
Kernel: TypeAlias = Annotated[int | None, _option("Rows and columns of the window (32).")]
Beta: TypeAlias = Annotated[float | None, _option("Scale inside the swish (1).")]
Label: TypeAlias = Annotated[float | None, _option("Label, 0 to 1 (1).")]
Pooling: TypeAlias = Annotated[str | None, _option("mean (default) or sum over positions.")]
Boundary: TypeAlias = Annotated[str | None, _option("valid (default) or periodic.")]
Scheme: TypeAlias = Annotated[str | None, _option("euler (default), heavy-ball, nesterov; more for other problems.")]
Momentum: TypeAlias = Annotated[float | None, _option("Momentum of heavy-ball and nesterov (0.9).")]
Seed: TypeAlias = Annotated[int | None, _option("Seed of the start, and of a noise image (7).")]
InitScale: TypeAlias = Annotated[float | None, _option("Standard deviation of the start (1).")]
Device: TypeAlias = Annotated[str | None, _option("cpu (default), cuda, cuda:N.")]
Json: TypeAlias = Annotated[Path | None, _option("Write the whole result to this file.", _OUTPUT)]
Plot: TypeAlias = Annotated[Path | None, _option("Draw it: FILE.png, FILE.svg or FILE.pdf.", _OUTPUT)]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", help="Print the answer alone.", rich_help_panel=_OUTPUT)]


class _Result(Protocol):
    @property
    def sentence(self) -> str: ...

    @property
    def table(self) -> tuple[list[str], list[list[str]]]: ...

    def to_json(self) -> dict[str, Any]: ...

    def plot(self, path: str | Path) -> None: ...


@app.command()
def stability(
    problem: Annotated[str, typer.Argument(help="cnn, heat, advection, wave, ...: one of the built-in problems.")],
    dt: Annotated[float | None, _option("Step (learning rate) that the CNN's weight decays are for.")] = None,
    weight_decay: Annotated[float | None, _option("Weight decay that the CNN's largest step is for.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Bisect the CNN's bounds by simulation too.")] = False,
    gauss_newton: Annotated[
        bool, typer.Option("--gauss-newton", help="Keep the Gauss-Newton term of the transitioning regime.")
    ] = False,
    dx: Annotated[float | None, _option("Grid spacing of the other problems (1).")] = None,
    dim: Annotated[int | None, _option("Their number of dimensions (1).")] = None,
    diffusivity: Annotated[float | None, _option("Diffusivity of heat, advection-diffusion, ... (1).")] = None,
    speed: Annotated[float | None, _option("Speed of advection and of waves (1).")] = None,
    stiffness: Annotated[float | None, _option("Stiffness of the biharmonic problem (1).")] = None,
    decay: Annotated[float | None, _option("Decay of anti-diffusion.")] = None,
    accuracy: Annotated[float | None, _option("Order of accuracy of the stencils.")] = None,
    image: Image = None,
    image_size: ImageSize = None,
    channels: Channels = None,
    kernel: Kernel = None,
    beta: Beta = None,
    label: Label = None,
    pooling: Pooling = None,
    boundary: Boundary = None,
    scheme: Scheme = None,
    momentum: Momentum = None,
    seed: Seed = None,
    device: Device = None,
    json: Json = None,
    plot: Plot = None,
    quiet: Quiet = False,
) -> None:
    """Say up to which step, and for the CNN between which weight decays, a scheme is stable."""
    _check_targets(json, plot)
    from lastbit.studies.pde import pde_stability

    of_cnn = _given(
        dt=dt, weight_decay=weight_decay, image=image, image_size=image_size, channels=channels, kernel=kernel,
        beta=beta, label=label, pooling=pooling, boundary=boundary, seed=seed, device=device,
        check=check or None, gauss_newton=gauss_newton or None,
    )  # fmt: skip
    of_others = _given(
        dx=dx, dim=dim, diffusivity=diffusivity, speed=speed, stiffness=stiffness, decay=decay, accuracy=accuracy
    )
    wrong = of_others if problem == "cnn" else of_cnn
    if wrong:
        name = next(iter(wrong)).replace("_", "-")
        raise LastbitError(f"--{name} says nothing about {problem}: leave it out")
    shared = _given(scheme=scheme, momentum=momentum)
    _show(pde_stability(problem, **of_cnn, **of_others, **shared), json, plot, quiet)


@app.command()
def simulate(
    problem: Problem = "cnn",
    lr: Annotated[float, _option("Learning rate.")] = ...,  # type: ignore[assignment]
    weight_decay: Annotated[float, _option("Weight decay.")] = ...,  # type: ignore[assignment]
    steps: Annotated[int, typer.Option(help="Steps.")] = 1000,
    twin: Annotated[int | None, _option("Odd factor k: run a twin whose updates are rounded k-rescaled.")] = None,
    dtype: Annotated[str, typer.Option(help="float64, float32 or bfloat16.")] = "float64",
    record_every: Annotated[int | None, _option("Steps between records (a hundredth of the steps).")] = None,
    sharpness: Annotated[bool, typer.Option(help="Record the sharpness, which takes time.")] = True,
    image: Image = None,
    image_size: ImageSize = None,
    channels: Channels = None,
    kernel: Kernel = None,
    beta: Beta = None,
    label: Label = None,
    pooling: Pooling = None,
    boundary: Boundary = None,
    scheme: Scheme = None,
    momentum: Momentum = None,
    seed: Seed = None,
    init_scale: InitScale = None,
    device: Device = None,
    json: Json = None,
    plot: Plot = None,
    quiet: Quiet = False,
) -> None:
    """Run the non-linear flow and say how it ends: converged, restrained or diverged."""
    _only_cnn(problem)
    _check_targets(json, plot)
    from lastbit.studies.pde import pde_simulate

    with _progress("steps", quiet) as progress:
        study = pde_simulate(
            lr=lr, weight_decay=weight_decay, steps=steps, twin=twin, dtype=dtype, record_every=record_every,
            sharpness=sharpness, progress=progress,
            **_given(
                image=image, image_size=image_size, channels=channels, kernel=kernel, beta=beta, label=label,
                pooling=pooling, boundary=boundary, scheme=scheme, momentum=momentum, seed=seed,
                init_scale=init_scale, device=device,
            ),
        )  # fmt: skip
    _show(study, json, plot, quiet)


@app.command()
def window(
    problem: Problem = "cnn",
    weight_decay: Annotated[float, _option("Weight decay.")] = ...,  # type: ignore[assignment]
    steps: Annotated[int, typer.Option(help="Steps of each simulation.")] = 800,
    rtol: Annotated[float, typer.Option(help="Relative width of the final brackets.")] = 2.5e-3,
    image: Image = None,
    image_size: ImageSize = None,
    channels: Channels = None,
    kernel: Kernel = None,
    beta: Beta = None,
    label: Label = None,
    pooling: Pooling = None,
    boundary: Boundary = None,
    scheme: Scheme = None,
    momentum: Momentum = None,
    seed: Seed = None,
    init_scale: InitScale = None,
    device: Device = None,
    json: Json = None,
    plot: Plot = None,
    quiet: Quiet = False,
) -> None:
    """Find the learning rates at which the flow converges, is restrained, and blows up, with theory beside them."""
    _only_cnn(problem)
    _check_targets(json, plot)
    from lastbit.studies.pde import pde_window

    with _progress("rounds of simulations", quiet) as progress:
        study = pde_window(
            weight_decay=weight_decay, steps=steps, rtol=rtol, progress=progress,
            **_given(
                image=image, image_size=image_size, channels=channels, kernel=kernel, beta=beta, label=label,
                pooling=pooling, boundary=boundary, scheme=scheme, momentum=momentum, seed=seed,
                init_scale=init_scale, device=device,
            ),
        )  # fmt: skip
    _show(study, json, plot, quiet)


@app.command()
def phase(
    problem: Problem = "cnn",
    lr_range: Annotated[tuple[float, float], typer.Option(help="First and last learning rate.")] = (0.02, 20.0),
    weight_decay_range: Annotated[tuple[float, float], typer.Option(help="First and last weight decay.")] = (0.1, 20.0),
    points: Annotated[int, typer.Option(help="Points of each axis.")] = 32,
    steps: Annotated[int, typer.Option(help="Steps of each member.")] = 400,
    twin: Annotated[int | None, _option("Odd factor k: give every member a twin.")] = None,
    dtype: Annotated[str, typer.Option(help="float64, float32 or bfloat16.")] = "float64",
    image: Image = None,
    image_size: Annotated[int | None, _option("Rows and columns of the image (64).")] = None,
    channels: Channels = None,
    kernel: Annotated[int | None, _option("Rows and columns of the window (8).")] = None,
    beta: Beta = None,
    label: Label = None,
    pooling: Pooling = None,
    boundary: Boundary = None,
    scheme: Scheme = None,
    momentum: Momentum = None,
    seed: Seed = None,
    init_scale: InitScale = None,
    device: Device = None,
    json: Json = None,
    plot: Plot = None,
    quiet: Quiet = False,
) -> None:
    """Map how the flow ends over learning rate and weight decay, with the curves of theory on top."""
    _only_cnn(problem)
    _check_targets(json, plot)
    from lastbit.studies.pde import pde_phase

    with _progress("steps", quiet) as progress:
        study = pde_phase(
            lr_range=lr_range, weight_decay_range=weight_decay_range, points=points, steps=steps, twin=twin,
            dtype=dtype, progress=progress,
            **_given(
                image=image, image_size=image_size, channels=channels, kernel=kernel, beta=beta, label=label,
                pooling=pooling, boundary=boundary, scheme=scheme, momentum=momentum, seed=seed,
                init_scale=init_scale, device=device,
            ),
        )  # fmt: skip
    _show(study, json, plot, quiet)


def _given(**values: Any) -> dict[str, Any]:
    """Return what the user gave; the rest has its default where it belongs."""
    return {name: value for name, value in values.items() if value is not None}


def _only_cnn(problem: str) -> None:
    if problem != "cnn":
        raise LastbitError(f"problem {problem!r}: this command knows cnn; for others use lastbit pde stability")


def _check_targets(json: Path | None, plot: Path | None) -> None:
    """Refuse files that could not be written before any work is done."""
    for target in (json, plot):
        if target is not None:
            check_writable(target)
    if plot is not None:
        from lastbit.studies.pde import check_figure_path

        check_figure_path(plot)


@contextmanager
def _progress(what: str, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
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


def _show(result: _Result, json: Path | None, plot: Path | None, quiet: bool) -> None:
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
