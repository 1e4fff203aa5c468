"""`lastbit pde stability`: which steps, and for networks which weight decays, a scheme can bear."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lastbit.cli.pde_options import (
    Beta,
    Channels,
    Device,
    Json,
    Label,
    Momentum,
    Plot,
    Pooling,
    Quiet,
    Scheme,
    check_targets,
    given,
    option,
    progress_bar,
    show,
)
from lastbit.core.errors import LastbitError

__all__ = ["PROBLEMS", "stability"]

PROBLEMS = (
    "cnn",
    "deep",
    "heat",
    "advection-upwind",
    "advection-centred",
    "advection-lax-wendroff",
    "advection-diffusion",
    "wave",
    "biharmonic",
    "anti-diffusion",
)
"""Spelled out because asking the theory for them imports PyTorch, and help should be quick."""

_DEEP, _CLASSICAL, _CNN = "The deep network", "The classical problems", "The one-layer network"

_BOTH = {"scheme", "momentum"}
_NETWORK = _BOTH | {
    "dt",
    "weight_decay",
    "image",
    "image_size",
    "channels",
    "kernel",
    "beta",
    "label",
    "pooling",
    "seed",
    "device",
}
_CLASSICAL_TAKES = _BOTH | {"dx", "dim", "diffusivity", "speed", "stiffness", "decay", "accuracy"}
_TAKES = {
    "cnn": _NETWORK | {"boundary", "check", "gauss_newton"},
    "deep": _NETWORK | {"depth", "width", "activation", "images", "image_seed", "gain", "train_steps", "train_lr"},
}


def stability(
    problem: Annotated[str, typer.Argument(help=f"{', '.join(PROBLEMS)}.", show_default=False)],
    dt: Annotated[float | None, typer.Option("--dt", "--lr", help="Step (learning rate) of the networks.")] = None,
    weight_decay: Annotated[float | None, option("Weight decay of the networks (deep: 0).")] = None,
    image: Annotated[str | None, option("checkerboard (cnn's default), noise (deep's), or an image file.")] = None,
    image_size: Annotated[int | None, option("Rows and columns of the image (cnn 256, deep 16).")] = None,
    channels: Channels = None,
    kernel: Annotated[int | None, option("Rows and columns of the window (cnn 32, deep 3).")] = None,
    beta: Beta = None,
    label: Label = None,
    pooling: Pooling = None,
    scheme: Scheme = None,
    momentum: Momentum = None,
    seed: Annotated[int | None, option("Seed of cnn's noise image (7), of deep's weights (0).")] = None,
    device: Device = None,
    check: Annotated[
        bool, typer.Option("--check", help="Bisect the bounds by simulation too.", rich_help_panel=_CNN)
    ] = False,
    gauss_newton: Annotated[
        bool,
        typer.Option(
            "--gauss-newton", help="Keep the Gauss-Newton term of the transitioning regime.", rich_help_panel=_CNN
        ),
    ] = False,
    boundary: Annotated[str | None, option("valid (default) or periodic.", _CNN)] = None,
    depth: Annotated[int | None, option("Layers (2).", _DEEP)] = None,
    width: Annotated[int | None, option("Channels between layers (4).", _DEEP)] = None,
    activation: Annotated[str | None, option("swish (default) or linear.", _DEEP)] = None,
    images: Annotated[int | None, option("Images of noise, labels 0 and 1 in turn (4).", _DEEP)] = None,
    image_seed: Annotated[int | None, option("Seed of the noise (0).", _DEEP)] = None,
    gain: Annotated[float | None, option("Variance of the weights times fan-in (2).", _DEEP)] = None,
    train_steps: Annotated[int | None, option("Steps of gradient descent before the answer (0).", _DEEP)] = None,
    train_lr: Annotated[float | None, option("Learning rate of these steps (0.1).", _DEEP)] = None,
    dx: Annotated[float | None, option("Grid spacing (1).", _CLASSICAL)] = None,
    dim: Annotated[int | None, option("Number of dimensions (1).", _CLASSICAL)] = None,
    diffusivity: Annotated[float | None, option("Diffusivity, where there is diffusion (1).", _CLASSICAL)] = None,
    speed: Annotated[float | None, option("Speed of advection and of waves (1).", _CLASSICAL)] = None,
    stiffness: Annotated[float | None, option("Stiffness of the biharmonic problem (1).", _CLASSICAL)] = None,
    decay: Annotated[float | None, option("Decay of anti-diffusion.", _CLASSICAL)] = None,
    accuracy: Annotated[float | None, option("Order of accuracy of the stencils.", _CLASSICAL)] = None,
    json: Json = None,
    plot: Plot = None,
    quiet: Quiet = False,
) -> None:
    """Say up to which step, and for networks between which weight decays, a scheme is stable."""
    settings: dict[str, Any] = dict(locals())
    for own in ("problem", "json", "plot", "quiet"):
        del settings[own]
    chosen = given(**{**settings, "check": check or None, "gauss_newton": gauss_newton or None})
    check_targets(json, plot)
    # A problem that is not known is the study's to refuse: it names the nearest.
    takes = _TAKES.get(problem, _CLASSICAL_TAKES)
    if problem in PROBLEMS and (wrong := [name for name in chosen if name not in takes]):
        raise LastbitError(f"--{wrong[0].replace('_', '-')} says nothing about {problem}: leave it out")
    from lastbit.studies.pde import pde_stability

    with progress_bar("spectra", quiet or problem != "deep") as progress:
        study = pde_stability(problem, progress=progress, **chosen)
    show(study, json, plot, quiet)
