"""One step of a stack against one step of its members alone: what a batched pass would silently get wrong."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lastbit.core import generators
from lastbit.core.batches import widened
from lastbit.core.errors import LastbitError
from lastbit.core.recorder import Recorder
from lastbit.perturb.base import Perturbation
from lastbit.tasks import Task
from lastbit.train.random_streams import streams
from lastbit.train.replicas.graphs import Graphs
from lastbit.train.replicas.refused import Refused, reason_of
from lastbit.train.replicas.stack import Stack
from lastbit.train.replicas.together import Replica, trainings_of
from lastbit.train.training import Training

__all__ = ["check_graphs", "check_stack"]


def check_stack(task: Task, perturbation: Perturbation, *, device: torch.device, dtype: torch.dtype) -> None:
    """Take one step of a stack of two seeds and compare it with that step of each alone.

    Loss, gradient and buffers must agree to the root of the format's epsilon, relative to their norm: a sum in another
    order is far below that, and a layer that keeps its own state, or that acts on all members at once, far above.

    Raises:
        Refused: the task cannot be stacked; says why.
    """
    pair = [Replica(streams=streams(seed), perturbation=perturbation, recorder=Recorder()) for seed in (0, 1)]
    with ExitStack() as scope:
        alone, together = (trainings_of(task, pair, device=device, dtype=dtype, scope=scope) for _ in range(2))
        stack = Stack(together)
        for training in alone:
            with training.active():
                training.step()
        state = generators.save(device)
        try:
            stack.step()
        except (Refused, LastbitError):
            raise
        except Exception as error:
            raise Refused(reason_of(error)) from error
        if not _same_state(state, generators.save(device)):
            raise Refused("its examples or its network draw at random")
        tolerance = float(torch.finfo(dtype).eps) ** 0.5
        for one, other in zip(alone, together, strict=True):
            for what, expected in _measured(one).items():
                missed = _norm(_measured(other)[what] - expected) / max(_norm(expected), 1e-30)
                if missed > tolerance:
                    raise Refused(f"its {what} would be another than alone, by {missed:.2g} of it")


_STEPS = 3


def check_graphs(task: Task, perturbation: Perturbation, *, device: torch.device, dtype: torch.dtype) -> None:
    """Take a few steps of two seeds by CUDA graphs and compare every bit of their weights with those of steps alone.

    Raises:
        Refused: the task cannot be captured, or the bits differ; says why.
    """
    pair = [Replica(streams=streams(seed), perturbation=perturbation, recorder=Recorder()) for seed in (0, 1)]
    with ExitStack() as scope:
        alone, together = (trainings_of(task, pair, device=device, dtype=dtype, scope=scope) for _ in range(2))
        graphs = Graphs(together)
        for _ in range(min(_STEPS, graphs.total)):
            graphs.step()
        torch.cuda.synchronize(device)
        for one, other in zip(alone, together, strict=True):
            with one.active():
                while one.position < other.position:
                    one.step()
            if one.weights().tobytes() != other.weights().tobytes():
                raise Refused("a pass that is replayed as a CUDA graph has other bits than alone")


def _measured(training: Training) -> dict[str, Tensor]:
    gradients = [weight.grad for weight in training.model.parameters() if weight.grad is not None]
    buffers = [buffer for buffer in training.model.buffers() if buffer.is_floating_point()]
    flat = {"loss": training.losses[:1], "gradient": gradients, "buffers": buffers}
    return {
        what: torch.cat([widened(one.detach()).reshape(-1) for one in tensors])
        for what, tensors in flat.items()
        if tensors
    }


def _norm(x: Tensor) -> float:
    """Return the norm; 0 of what is not finite, which nobody can compare."""
    norm = float(x.double().norm())
    return norm if np.isfinite(norm) else 0.0


def _same_state(one: dict[str, Any], other: dict[str, Any]) -> bool:
    for name, state in one.items():
        if isinstance(state, Tensor):
            if not torch.equal(state, other[name]):
                return False
        elif name == "numpy":
            if state[2:] != other[name][2:] or not np.array_equal(state[1], other[name][1]):
                return False
        elif state != other[name]:
            return False
    return True
