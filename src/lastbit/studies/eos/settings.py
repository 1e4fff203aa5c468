"""What an edge-of-stability study has besides its program: how long, which twins, how often is measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, ValidationInfo, field_validator

from lastbit.core.keywords import setting
from lastbit.studies.frame.settings import Device, Perturb, StudySettings

__all__ = ["EosSettings", "ProbeSize", "SmoothFormat"]

ProbeSize = Annotated[int, setting("training examples that curvature is measured on", ge=1)]
SmoothFormat = Annotated[Literal["float32", "float64"], setting("format of the weights", panel="The arithmetic")]


class EosSettings(StudySettings):
    """How a training is followed along its edge; what is trained is its program.

    Of the program `lr`, `momentum`, `weight_decay`, `depth`, `width` and `kernel` hold one value or several; several
    make a sweep. Of a task in a file they are arguments of its function.
    """

    model_config = ConfigDict(json_schema_extra={"panel": "The measurement"})
    sweeps: ClassVar[tuple[str, ...]] = ("lr", "momentum", "weight_decay", "depth", "width", "kernel")
    arguments: ClassVar[tuple[str, ...]] = sweeps
    # They follow from the steps, or would hide what is measured.
    decides: ClassVar[tuple[str, ...]] = ("epochs", "norm", "augment")

    # What `edge_defaults` returns, in words.
    shown: ClassVar[Mapping[str, str]] = {
        "model": "mlp",
        "optimizer": "sgd",
        "lr": "0.1 for sgd, 0.2 with momentum, 0.05 with nesterov; 0.003 for adam and adamw, 0.001 for rmsprop",
        "momentum": "0; 0.9 with nesterov",
        "nesterov": "off",
        "weight_decay": "0; 0.01 for adamw",
        "schedule": "constant",
        "batch_size": "all",
        "train_size": "600",
        "activation": "tanh",
        "width": "64 for mlp and vgg11, 16 for the others",
        "depth": "2 for mlp, 3 for cnn",
        "kernel": "3",
        "loss": "squared-error",
        "data_root": StudySettings.shown["data_root"],
    }

    steps: Annotated[int | None, setting("optimizer steps", shown="1500; all of a task in a file", ge=1)] = None
    every: Annotated[int, setting("steps between measurements; odd, because at the edge training alternates", ge=1)] = 3
    twins: Annotated[
        int, setting("perturbed runs in addition to the base run and its exact repeat; 0 for none", ge=0, le=100)
    ] = 2
    probe_size: ProbeSize = 2000
    flow: Annotated[bool, setting("follow the gradient flow of sgd too, for comparison")] = False
    seed: Annotated[int, setting("seed of the training, the first of several", ge=0)] = 0
    seeds: Annotated[
        int, setting("seeds to train every combination with", panel="Several values make a sweep", ge=1)
    ] = 1
    perturb: Perturb = "rescale"
    dtype: SmoothFormat = "float32"
    device: Device = "auto"

    @field_validator("every")
    @classmethod
    def _odd(cls, every: int, info: ValidationInfo) -> int:
        """Refuse an even number of steps, but in a study that was begun with it."""
        if every % 2 == 0 and every != (info.context or {}).get("every"):
            raise ValueError(f"an even number hides an oscillation of period two: write {every - 1} or {every + 1}")
        return every
