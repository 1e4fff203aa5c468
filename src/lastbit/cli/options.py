"""The options that commands share: what is trained, how its last bit is perturbed, where the result goes.

Every command that trains takes the same words for the same things.
"""

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

__all__ = [
    "Activation",
    "Augment",
    "BatchSize",
    "DataRoot",
    "Device",
    "Dtype",
    "Epochs",
    "Json",
    "Lr",
    "Model",
    "Momentum",
    "Nesterov",
    "Norm",
    "Optimizer",
    "Out",
    "Perturb",
    "Perturbations",
    "Quiet",
    "Resume",
    "Schedule",
    "Seeds",
    "Task",
    "TrainSize",
    "Vary",
    "WeightDecay",
    "Width",
    "Workers",
    "option",
]

_GRID, _NOISE, _TASK, _OUTPUT = "The grid", "The perturbation", "The training", "Output"


def option(help: str, panel: str) -> Any:
    """Return an option whose help says its default itself, for the study has it."""
    return typer.Option(help=help, rich_help_panel=panel, show_default=False)


Task: TypeAlias = Annotated[str | None, option("digits (default), fashion-mnist, cifar10, FILE.py:FUNCTION.", _TASK)]
Model: TypeAlias = Annotated[str | None, option("cnn, mlp, resnet8, resnet20, resnet56, vgg11.", _TASK)]
Optimizer: TypeAlias = Annotated[str | None, option("sgd, adam, adamw, rmsprop.", _TASK)]
Lr: TypeAlias = Annotated[float | None, option("Learning rate at the start.", _TASK)]
Momentum: TypeAlias = Annotated[float | None, option("Momentum of sgd and rmsprop.", _TASK)]
Nesterov: TypeAlias = Annotated[bool | None, option("Nesterov's form of momentum.", _TASK)]
WeightDecay: TypeAlias = Annotated[float | None, option("Weight decay.", _TASK)]
Schedule: TypeAlias = Annotated[str | None, option("constant, linear, cosine, step.", _TASK)]
Epochs: TypeAlias = Annotated[int | None, option("Passes over the training data.", _TASK)]
BatchSize: TypeAlias = Annotated[int | None, option("Samples per step.", _TASK)]
TrainSize: TypeAlias = Annotated[int | None, option("Training samples to keep.", _TASK)]
Norm: TypeAlias = Annotated[str | None, option("batch, group, none.", _TASK)]
Activation: TypeAlias = Annotated[str | None, option("relu, swish, tanh.", _TASK)]
Width: TypeAlias = Annotated[int | None, option("Channels of the first layer.", _TASK)]
Augment: TypeAlias = Annotated[str | None, option("none, crop, flip, crop-flip.", _TASK)]
DataRoot: TypeAlias = Annotated[str | None, option("Folder with the data set's files.", _TASK)]
Seeds: TypeAlias = Annotated[int | None, option("Seeds (6).", _GRID)]
Perturbations: TypeAlias = Annotated[int | None, option("Runs per seed, the unperturbed one included (6).", _GRID)]
Perturb: TypeAlias = Annotated[str | None, option("rescale (default), ulp, rounding, reorder.", _NOISE)]
Vary: TypeAlias = Annotated[str | None, option("What a seed changes: all (default), order, init, augment.", _GRID)]
Dtype: TypeAlias = Annotated[str | None, option("float32 (default), float64, bfloat16.", _NOISE)]
Device: TypeAlias = Annotated[str | None, option("auto (default), cpu, cuda, cuda:N.", _NOISE)]
Workers: TypeAlias = Annotated[int | None, option("Number of processes (measured); 1 stays in this one.", _NOISE)]
Out: TypeAlias = Annotated[Path | None, option("New folder of the study (lastbit-studies/NAME-NNN).", _OUTPUT)]
Resume: TypeAlias = Annotated[Path | None, option("Continue the study in this folder.", _OUTPUT)]
Json: TypeAlias = Annotated[Path | None, option("Write the whole result to this file too.", _OUTPUT)]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", help="Print the verdict alone.", rich_help_panel=_OUTPUT)]
