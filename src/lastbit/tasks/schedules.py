"""The built-in learning-rate schedules by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from lastbit.core.errors import choose

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

__all__ = ["SCHEDULES", "make_schedule"]


SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "constant": lambda step, total: 1.0,
    "linear": lambda step, total: 1.0 - step / total,
    "cosine": lambda step, total: 0.5 * (1.0 + math.cos(math.pi * step / total)),
    # Rates of He et al. (2016) on CIFAR-10: a tenth after 1/2, a hundredth after 3/4 of the training.
    "step": lambda step, total: 0.1 ** ((2 * step >= total) + (4 * step >= 3 * total)),
}
"""Factor on the learning rate as a function of the steps taken and of the total, by name.

`linear` is `1 - t/T`, `cosine` is `(1 + cos(pi t/T))/2` (Loshchilov and Hutter, 2017), `step` divides by 10 at 1/2 and
at 3/4 of the training.
"""


def make_schedule(optimizer: Optimizer, total_steps: int, *, name: str) -> LRScheduler:
    """Return a scheduler that multiplies the learning rate by `SCHEDULES[name](step, total_steps)`."""
    from torch.optim.lr_scheduler import LambdaLR  # the names of schedules are listed without torch

    factor = SCHEDULES[choose(name, SCHEDULES, "schedule")]
    return LambdaLR(optimizer, partial(_at, factor=factor, total=max(total_steps, 1)))


def _at(step: int, *, factor: Callable[[int, int], float], total: int) -> float:
    return factor(min(step, total), total)
