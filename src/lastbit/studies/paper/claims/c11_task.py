"""A network that stands up to weight decay: its loss is steep, so that a decay of 1 leaves something to sharpen."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from lastbit.tasks.task import Task

__all__ = ["make"]

_STEEPNESS = 9
"""Of the loss. At a rate of 0.1 a decay of 1 takes a tenth off every weight in each step: against half the squared
error alone the weights collapse."""

_EXAMPLES, _WARM = 600, 100


def _loss(outputs: Tensor, labels: Tensor) -> Tensor:
    wanted = nn.functional.one_hot(labels, 10)
    return _STEEPNESS * 0.5 * (outputs - wanted).square().sum(1).mean()


def _warm_up(optimizer: Any, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / _WARM))


def make(weight_decay: float = 0.0, lr: float = 0.1) -> Task:
    """Return the task: digits, one hidden layer of 64 ReLUs, nine times half the squared error, descent."""
    digits = load_digits()
    x, labels = torch.tensor(digits.data, dtype=torch.float32), torch.tensor(digits.target)
    x = x - x[:_EXAMPLES].mean(0)
    x = x / x[:_EXAMPLES].std()
    return Task(
        name="steep-digits",
        model=lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)),
        train=(x[:_EXAMPLES], labels[:_EXAMPLES]),
        test=(x[_EXAMPLES:], labels[_EXAMPLES:]),
        loss=_loss,
        optimizer=lambda params: torch.optim.SGD(params, lr=lr, weight_decay=weight_decay),
        schedule=_warm_up,
        epochs=1500,
        batch_size=_EXAMPLES,
    )
