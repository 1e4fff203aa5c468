"""`lastbit pde`: what the theory predicts, and what the gradient-descent PDE does."""

from __future__ import annotations

from typing import Annotated

import typer

from lastbit.cli.pde_complexity import complexity
from lastbit.cli.pde_options import (
    Beta,
    Boundary,
    Channels,
    Device,
    Image,
    ImageSize,
    InitScale,
    Json,
    Kernel,
    Label,
    Momentum,
    Plot,
    Pooling,
    Problem,
    Quiet,
    Scheme,
    Seed,
    check_targets,
    given,
    option,
    progress_bar,
    show,
)
from lastbit.cli.pde_stability import stability
from lastbit.core.errors import LastbitError

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Stable learning rates and weight decays from the PDE that gradient descent discretises, and what the flow "
    "does outside them.",
)
app.command()(stability)
app.command()(complexity)


@app.command()
def simulate(
    problem: Problem = "cnn",
    lr: Annotated[float, option("Learning rate.")] = ...,  # type: ignore[assignment]
    weight_decay: Annotated[float, option("Weight decay.")] = ...,  # type: ignore[assignment]
    steps: Annotated[int, typer.Option(help="Steps.")] = 1000,
    twin: Annotated[int | None, option("Odd factor k: run a twin whose updates are rounded k-rescaled.")] = None,
    dtype: Annotated[str, typer.Option(help="float64, float32 or bfloat16.")] = "float64",
    record_every: Annotated[int | None, option("Steps between records (a hundredth of the steps).")] = None,
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
    check_targets(json, plot)
    from lastbit.studies.pde import pde_simulate

    with progress_bar("steps", quiet) as progress:
        study = pde_simulate(
            lr=lr,
            weight_decay=weight_decay,
            steps=steps,
            twin=twin,
            dtype=dtype,
            record_every=record_every,
            sharpness=sharpness,
            progress=progress,
            **given(
                image=image,
                image_size=image_size,
                channels=channels,
                kernel=kernel,
                beta=beta,
                label=label,
                pooling=pooling,
                boundary=boundary,
                scheme=scheme,
                momentum=momentum,
                seed=seed,
                init_scale=init_scale,
                device=device,
            ),
        )
    show(study, json, plot, quiet)


@app.command()
def window(
    problem: Problem = "cnn",
    weight_decay: Annotated[float, option("Weight decay.")] = ...,  # type: ignore[assignment]
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
    check_targets(json, plot)
    from lastbit.studies.pde import pde_window

    with progress_bar("rounds of simulations", quiet) as progress:
        study = pde_window(
            weight_decay=weight_decay,
            steps=steps,
            rtol=rtol,
            progress=progress,
            **given(
                image=image,
                image_size=image_size,
                channels=channels,
                kernel=kernel,
                beta=beta,
                label=label,
                pooling=pooling,
                boundary=boundary,
                scheme=scheme,
                momentum=momentum,
                seed=seed,
                init_scale=init_scale,
                device=device,
            ),
        )
    show(study, json, plot, quiet)


@app.command()
def phase(
    problem: Problem = "cnn",
    lr_range: Annotated[tuple[float, float], typer.Option(help="First and last learning rate.")] = (0.02, 20.0),
    weight_decay_range: Annotated[tuple[float, float], typer.Option(help="First and last weight decay.")] = (0.1, 20.0),
    points: Annotated[int, typer.Option(help="Points of each axis.")] = 32,
    steps: Annotated[int, typer.Option(help="Steps of each member.")] = 400,
    twin: Annotated[int | None, option("Odd factor k: give every member a twin.")] = None,
    dtype: Annotated[str, typer.Option(help="float64, float32 or bfloat16.")] = "float64",
    image: Image = None,
    image_size: Annotated[int | None, option("Rows and columns of the image (64).")] = None,
    channels: Channels = None,
    kernel: Annotated[int | None, option("Rows and columns of the window (8).")] = None,
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
    check_targets(json, plot)
    from lastbit.studies.pde import pde_phase

    with progress_bar("steps", quiet) as progress:
        study = pde_phase(
            lr_range=lr_range,
            weight_decay_range=weight_decay_range,
            points=points,
            steps=steps,
            twin=twin,
            dtype=dtype,
            progress=progress,
            **given(
                image=image,
                image_size=image_size,
                channels=channels,
                kernel=kernel,
                beta=beta,
                label=label,
                pooling=pooling,
                boundary=boundary,
                scheme=scheme,
                momentum=momentum,
                seed=seed,
                init_scale=init_scale,
                device=device,
            ),
        )
    show(study, json, plot, quiet)


def _only_cnn(problem: str) -> None:
    if problem != "cnn":
        raise LastbitError(f"problem {problem!r}: this command knows cnn; for others use lastbit pde stability")
