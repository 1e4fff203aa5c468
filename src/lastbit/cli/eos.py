"""`lastbit eos`: sharpness against the optimizer's limit along a training, with twins beside it."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from lastbit.cli import options
from lastbit.cli.options import option
from lastbit.cli.study_file import StudyFile, make_study

__all__ = ["eos"]

_NETWORK, _SWEEP, _EDGE = "The network", "Several values make a sweep", "The measurement"


Values: TypeAlias = list[str] | None
EdgeModel: TypeAlias = Annotated[str | None, option("mlp (default), cnn, or another built-in network.", _NETWORK)]
Loss: TypeAlias = Annotated[str | None, option("squared-error (default), cross-entropy.", _NETWORK)]
Lrs: TypeAlias = Annotated[Values, option("Learning rates: --lr 0.1 0.2.", _SWEEP)]
Momenta: TypeAlias = Annotated[Values, option("Momenta of sgd and rmsprop: --momentum 0 0.9.", _SWEEP)]
Decays: TypeAlias = Annotated[Values, option("Weight decays: --weight-decay 0 0.01 0.1.", _SWEEP)]
Depths: TypeAlias = Annotated[Values, option("Hidden layers, or convolutions: --depth 1 2 4.", _SWEEP)]
Widths: TypeAlias = Annotated[Values, option("Units, or channels, of each layer: --width 32 64 128.", _SWEEP)]
Kernels: TypeAlias = Annotated[Values, option("Sides of a cnn's kernels, odd: --kernel 3 5 7.", _SWEEP)]
Steps: TypeAlias = Annotated[int | None, option("Optimizer steps (1500; all of a task in a file).", _EDGE)]
Twins: TypeAlias = Annotated[int | None, option("Perturbed twins beside the run and its repeat (2); 0: none.", _EDGE)]
Every: TypeAlias = Annotated[
    int | None, option("Steps between measurements (3; odd, for at the edge training alternates).", _EDGE)
]
ProbeSize: TypeAlias = Annotated[int | None, option("Training examples to measure curvature on (2000).", _EDGE)]
Flow: TypeAlias = Annotated[bool | None, option("Follow the gradient flow too, for comparison (sgd).", _EDGE)]
Seed: TypeAlias = Annotated[int | None, option("Seed of the training, the first of several (0).", _EDGE)]
Seeds: TypeAlias = Annotated[int | None, option("Seeds to train every combination with (1).", _SWEEP)]


def eos(
    study: StudyFile = None,
    task: options.Task = None,
    model: EdgeModel = None,
    activation: options.Activation = None,
    loss: Loss = None,
    optimizer: options.Optimizer = None,
    nesterov: options.Nesterov = None,
    schedule: options.Schedule = None,
    train_size: options.TrainSize = None,
    batch_size: options.BatchSize = None,
    data_root: options.DataRoot = None,
    lr: Lrs = None,
    momentum: Momenta = None,
    weight_decay: Decays = None,
    depth: Depths = None,
    width: Widths = None,
    kernel: Kernels = None,
    seeds: Seeds = None,
    workers: options.Workers = None,
    steps: Steps = None,
    every: Every = None,
    twins: Twins = None,
    probe_size: ProbeSize = None,
    flow: Flow = None,
    seed: Seed = None,
    perturb: options.Perturb = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    out: options.Out = None,
    resume: options.Resume = None,
    json: options.Json = None,
    quiet: options.Quiet = False,
) -> int:
    """How far past the stable step is a training? Sharpness against the limit, step by step, twins beside it.

    Several values of a flag (--weight-decay 0 0.1 1, or 0,0.1,1) train one network for each combination. A task in a
    file takes them as arguments: def FUNCTION(weight_decay=0.0): ...

    With no options: full-batch gradient descent on 600 handwritten digits, in about a minute.
    """
    return make_study("eos", locals())
