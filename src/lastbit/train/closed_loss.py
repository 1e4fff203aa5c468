"""Is the loss that a training lowers the loss of its task, of which curvature is measured?"""

from __future__ import annotations

from contextlib import closing

import torch

from lastbit.core import generators
from lastbit.core.batches import apply_model
from lastbit.core.errors import LastbitError
from lastbit.perturb.base import Identity
from lastbit.tasks import Task
from lastbit.train.random_streams import streams
from lastbit.train.training import Training

__all__ = ["check_closed_loss"]

_RTOL = 1e-3
"""A step that adds up micro-batches, or computes in a shorter format, agrees to that."""


def check_closed_loss(task: Task, *, device: torch.device, dtype: torch.dtype) -> None:
    """Check that curvature can be measured along the training of `task`.

    One optimizer takes steps along the gradient of one loss, `task.loss(model(inputs), targets)`. A step of the task's
    own is taken once, on a network that is thrown away, and must return that loss of its batch.

    Raises:
        LastbitError: there are several optimizers, or the loss of the step is another.
    """
    training = Training(task, streams(0), Identity(), device=device, dtype=dtype)
    with closing(training), training.active():
        if len(training.optimizers) > 1:
            raise LastbitError(
                f"curvature needs one optimizer, but {task.name} has {', '.join(training.optimizers)}: audit and trace "
                "take several"
            )
        if task.step is None:
            return
        drawn = generators.save(device)
        with torch.no_grad(), generators.replayed(drawn, device):
            inputs, targets = training.pair(training.next_batch())
            expected = float(training.loss(apply_model(training.model, inputs), targets))
        training.step()
        found = float(training.losses[0])
    if not abs(found - expected) <= _RTOL * abs(expected):
        raise LastbitError(
            f"curvature needs as loss= what the step of {task.name} lowers: of its first batch the step returns "
            f"{found:.6g}, and loss= gives {expected:.6g}"
        )
