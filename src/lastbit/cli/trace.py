"""`lastbit trace`: where and when was one bit amplified, and is it restrained?"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from lastbit.cli import options
from lastbit.cli.options import option
from lastbit.cli.study_file import StudyFile, make_study

__all__ = ["trace"]

_TWINS, _SWEEP = "The twins", "A sweep"


Rates: TypeAlias = Annotated[list[str] | None, option("Learning rates, side by side: --lr 0.1 0.05.", _SWEEP)]
Formats: TypeAlias = Annotated[
    list[str] | None, option("float32 (default), float64, bfloat16; several side by side.", _SWEEP)
]
ScaledTime: TypeAlias = Annotated[
    bool | None, option("Scale the epochs of a sweep so that lr x steps stays (whole epochs).", _SWEEP)
]
TwinCount: TypeAlias = Annotated[int | None, option("Perturbed twins beside base and repeat (3).", _TWINS)]
Every: TypeAlias = Annotated[int | None, option("Record every so many steps (1; thinned as a run grows).", _TWINS)]
FromStep: TypeAlias = Annotated[int | None, option("Branch the twins off at this step (0).", _TWINS)]
Renormalise: TypeAlias = Annotated[
    bool | None, option("Bring a twin back whenever it has left its base: the growth rate alone.", _TWINS)
]
TangentFlag: TypeAlias = Annotated[
    bool | None, option("Carry a tangent along the base run too (sgd, adam, adamw).", _TWINS)
]
Layer: TypeAlias = Annotated[
    str | None, option("Convolution whose filters the report maps (the most amplifying one).", _TWINS)
]
Seed: TypeAlias = Annotated[int | None, option("Seed of the training (0).", _TWINS)]


def trace(
    study: StudyFile = None,
    task: options.Task = None,
    model: options.Model = None,
    optimizer: options.Optimizer = None,
    lr: Rates = None,
    dtype: Formats = None,
    scaled_time: ScaledTime = None,
    momentum: options.Momentum = None,
    nesterov: options.Nesterov = None,
    weight_decay: options.WeightDecay = None,
    schedule: options.Schedule = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    train_size: options.TrainSize = None,
    norm: options.Norm = None,
    activation: options.Activation = None,
    width: options.Width = None,
    augment: options.Augment = None,
    data_root: options.DataRoot = None,
    perturb: options.Perturb = None,
    twins: TwinCount = None,
    every: Every = None,
    from_step: FromStep = None,
    renormalise: Renormalise = None,
    tangent: TangentFlag = None,
    layer: Layer = None,
    seed: Seed = None,
    device: options.Device = None,
    out: options.Out = None,
    resume: options.Resume = None,
    json: options.Json = None,
    quiet: options.Quiet = False,
) -> int:
    """Where and when was one bit amplified: which tensors, filters and steps; and is it restrained?

    Trains a base run, its exact repeat as control and a few twins perturbed in the last bit, in lock step, and measures
    tensor by tensor how they part.

    With no options: a small network on handwritten digits, in about a minute.
    """
    return make_study("trace", locals())
