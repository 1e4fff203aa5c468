"""`lastbit sharpness`: one measurement of how far past the stable step a network is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from lastbit.cli import options
from lastbit.cli.eos import EdgeModel, Loss, ProbeSize, Seed
from lastbit.cli.options import option
from lastbit.cli.output import check_writable, present

__all__ = ["sharpness"]

_NETWORK, _EDGE = "The network", "The measurement"


Depth: TypeAlias = Annotated[int | None, option("Hidden layers, or convolutions (2, 3).", _NETWORK)]
Width: TypeAlias = Annotated[int | None, option("Units, or channels, of each layer (64, 16).", _NETWORK)]
Kernel: TypeAlias = Annotated[int | None, option("Side of a cnn's kernels, odd (3).", _NETWORK)]
CheckpointFile: TypeAlias = Annotated[
    Path | None, option("Weights to load: .safetensors, or a file of torch.save (read without pickle code).", _EDGE)
]
After: TypeAlias = Annotated[int, option("Training steps to take first (0; adaptive optimizers need 1).", _EDGE)]
By: TypeAlias = Annotated[str, option("Rows of the table: module (default), tensor, group.", _EDGE)]


def sharpness(
    task: Annotated[
        str | None,
        typer.Argument(help="digits (default), fashion-mnist, cifar10, FILE.py:FUNCTION.", show_default=False),
    ] = None,
    checkpoint: CheckpointFile = None,
    after: After = 0,
    by: By = "module",
    model: EdgeModel = None,
    depth: Depth = None,
    width: Width = None,
    kernel: Kernel = None,
    activation: options.Activation = None,
    loss: Loss = None,
    optimizer: options.Optimizer = None,
    lr: options.Lr = None,
    momentum: options.Momentum = None,
    nesterov: options.Nesterov = None,
    weight_decay: options.WeightDecay = None,
    train_size: options.TrainSize = None,
    batch_size: options.BatchSize = None,
    data_root: options.DataRoot = None,
    probe_size: ProbeSize = None,
    seed: Seed = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    out: options.Out = None,
    json: options.Json = None,
    quiet: options.Quiet = False,
) -> int:
    """How sharp is a network now, by layer, and which learning rates would be stable?

    One measurement: the largest eigenvalues against the optimizer's limit, the spectrum, and a verdict.
    """
    settings = dict(locals())
    for own in ("json", "quiet"):
        del settings[own]
    check_writable(json)

    import lastbit

    chosen = {name: value for name, value in settings.items() if value is not None}
    present(lastbit.sharpness(**chosen), json=json, quiet=quiet)
    return 0
