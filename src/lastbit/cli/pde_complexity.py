"""`lastbit pde complexity`: how the stable learning rate moves as a network grows."""

from __future__ import annotations

from typing import Annotated

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

__all__ = ["complexity"]

_SIZES, _BASE = "The sizes", "The network around which they vary"


def complexity(
    depths: Annotated[str, option("Numbers of layers (1,2,3,4,6); none leaves an axis out.", _SIZES)] = "1,2,3,4,6",
    widths: Annotated[str, option("Channels between layers (2,4,8,16).", _SIZES)] = "2,4,8,16",
    kernels: Annotated[str, option("Rows and columns of the windows (1,3,5,7).", _SIZES)] = "1,3,5,7",
    seeds: Annotated[int, typer.Option(help="Draws of the weights, at every size.", rich_help_panel=_SIZES)] = 8,
    depth: Annotated[int | None, option("Layers (3).", _BASE)] = None,
    width: Annotated[int | None, option("Channels between layers (4).", _BASE)] = None,
    kernel: Annotated[int | None, option("Rows and columns of the windows (3).", _BASE)] = None,
    activation: Annotated[str | None, option("swish (default) or linear.")] = None,
    weight_decay: Annotated[float | None, option("Weight decay (0).")] = None,
    gain: Annotated[float | None, option("Variance of the weights times fan-in (2).")] = None,
    train_steps: Annotated[int | None, option("Steps of gradient descent before each answer (0).")] = None,
    train_lr: Annotated[float | None, option("Learning rate of these steps (0.1).")] = None,
    image: Annotated[str | None, option("noise (default), checkerboard, or an image file.")] = None,
    image_size: Annotated[int | None, option("Rows and columns of the images (16).")] = None,
    channels: Channels = None,
    images: Annotated[int | None, option("Images of noise, labels 0 and 1 in turn (4).")] = None,
    image_seed: Annotated[int | None, option("Seed of the noise (0).")] = None,
    label: Label = None,
    beta: Beta = None,
    pooling: Pooling = None,
    scheme: Scheme = None,
    momentum: Momentum = None,
    device: Device = None,
    json: Json = None,
    plot: Plot = None,
    quiet: Quiet = False,
) -> None:
    """Measure how the stable learning rate moves with depth, width and kernel size.

    With no options: 11 networks at 8 seeds each, in under a minute.
    """
    settings = dict(locals())
    for own in ("depths", "widths", "kernels", "seeds", "json", "plot", "quiet"):
        del settings[own]
    check_targets(json, plot)
    sizes = {"depths": depths, "widths": widths, "kernels": kernels}
    grid = {name: _sizes(name, text) for name, text in sizes.items()}
    from lastbit.studies.pde import pde_complexity

    with progress_bar("networks", quiet) as progress:
        study = pde_complexity(**grid, seeds=seeds, progress=progress, **given(**settings))
    show(study, json, plot, quiet)


def _sizes(name: str, text: str) -> tuple[int, ...]:
    """Return the sizes in `1,2,3`; none for `none`."""
    if text.strip() == "none":
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise LastbitError(f"--{name} {text!r}: use whole numbers with commas between, 1,2,3, or none") from None
