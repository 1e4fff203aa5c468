"""The examples that curvature is measured on."""

from __future__ import annotations

import torch
from torch import Tensor

from lastbit.tasks import Task

__all__ = ["probe_batch"]


def probe_batch(task: Task, size: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the first `size` training examples, or all of them where there are fewer."""
    return task.train.to(device, dtype).batch(torch.arange(min(size, len(task.train))))
