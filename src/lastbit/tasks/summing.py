"""Whether a loss sums over its batch, where a mean is expected."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lastbit.core.batches import mapped
from lastbit.core.generators import LentGenerators
from lastbit.tasks.checks import forward

if TYPE_CHECKING:
    from lastbit.tasks.task import Task

__all__ = ["SumWarning", "said_of_a_sum"]

_RTOL = 1e-3
"""Rounding of a sum over a batch, in any format."""


class SumWarning(UserWarning):
    """The loss of a task sums over its batch."""


def said_of_a_sum(task: Task) -> str:
    """Return what follows from a loss that sums over its batch, in one sentence; "" of one that does not.

    It sums where every example given twice doubles it. A loss that draws, or cannot take a batch of twice the size, is
    taken at its word.
    """
    if task.loss is None:
        return ""
    with LentGenerators(0).active(), torch.no_grad():
        model = task.model()
        model.eval()
        outputs, targets = forward(task, model, task.test)
        try:
            once, again = (float(task.loss(outputs, targets)) for _ in range(2))
            doubled = float(task.loss(mapped(outputs, _twice), mapped(targets, _twice)))
        except Exception:
            return ""
    if once != again or not math.isclose(doubled, 2 * once, rel_tol=_RTOL) or math.isclose(doubled, once):
        return ""
    return (
        f"The loss of {task.name} is a sum over the batch, where the mean is expected: its learning rate suits batches "
        f"of {task.batch_size:,} alone, and its training and test losses are of batches of different sizes."
    )


def _twice(tensor: Tensor) -> Tensor:
    return torch.cat([tensor, tensor]) if tensor.ndim else tensor
