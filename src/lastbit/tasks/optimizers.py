"""The built-in optimizers and learning-rate schedules by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from lastbit.core.errors import choose

__all__ = ["OPTIMIZERS", "SCHEDULES", "OptimizerSpec", "make_optimizer", "make_schedule"]


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
    """A built-in optimizer.

    Attributes:
        build: the class in `torch.optim`.
        options: those of `momentum` and `nesterov` that it understands; it always takes `lr` and `weight_decay`.
        defaults: settings that it prefers to the task's, which are meant for SGD.
    """

    build: Callable[..., Optimizer]
    options: tuple[str, ...]
    defaults: Mapping[str, Any]


# Without momentum or Nesterov of their own, adaptive optimizers get PyTorch's rate and decay, not those of SGD.
OPTIMIZERS: dict[str, OptimizerSpec] = {
    "sgd": OptimizerSpec(build=torch.optim.SGD, options=("momentum", "nesterov"), defaults={}),
    "adam": OptimizerSpec(build=torch.optim.Adam, options=(), defaults={"lr": 1e-3, "weight_decay": 0.0}),
    "adamw": OptimizerSpec(build=torch.optim.AdamW, options=(), defaults={"lr": 1e-3, "weight_decay": 1e-2}),
    "rmsprop": OptimizerSpec(
        build=torch.optim.RMSprop, options=("momentum",), defaults={"lr": 1e-3, "weight_decay": 0.0, "momentum": 0.0}
    ),
}
"""The built-in optimizers by name. Weight decay acts on every parameter; AdamW's is decoupled from the gradient."""


def make_optimizer(
    params: Iterable[nn.Parameter], *, name: str, lr: float, weight_decay: float, momentum: float, nesterov: bool
) -> Optimizer:
    """Return a `torch.optim` optimizer over `params`; momentum and Nesterov go to those that have them."""
    spec = OPTIMIZERS[choose(name, OPTIMIZERS, "optimizer")]
    given = {"momentum": momentum, "nesterov": nesterov}
    return spec.build(params, lr=lr, weight_decay=weight_decay, **{key: given[key] for key in spec.options})


def _constant(step: int, total: int) -> float:
    return 1.0


def _linear(step: int, total: int) -> float:
    return 1.0 - step / total


def _cosine(step: int, total: int) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * step / total))


def _step(step: int, total: int) -> float:
    # Rates of He et al. (2016) on CIFAR-10: a tenth after 1/2, a hundredth after 3/4 of the training.
    return 0.1 ** ((2 * step >= total) + (4 * step >= 3 * total))


SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "step": _step,
}
"""Factor on the learning rate as a function of the steps taken and of the total, by name.

`linear` is `1 - t/T`, `cosine` is `(1 + cos(pi t/T))/2` (Loshchilov and Hutter, 2017), `step` divides by 10 at 1/2 and
at 3/4 of the training.
"""


def make_schedule(optimizer: Optimizer, total_steps: int, *, name: str) -> LRScheduler:
    """Return a scheduler that multiplies the learning rate by `SCHEDULES[name](step, total_steps)`."""
    factor = SCHEDULES[choose(name, SCHEDULES, "schedule")]
    return LambdaLR(optimizer, partial(_at, factor=factor, total=max(total_steps, 1)))


def _at(step: int, *, factor: Callable[[int, int], float], total: int) -> float:
    return factor(min(step, total), total)
