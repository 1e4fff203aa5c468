"""The layout of a network's weights in memory: which of two makes a step faster, and a task in either.

Convolutions with weights in channels-last order are computed in that order, which libraries have faster kernels for.
The sums have other orders then, and the results other last bits.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from lastbit.core import generators
from lastbit.core.batches import apply_model
from lastbit.core.words import typed
from lastbit.perturb.base import Identity
from lastbit.tasks import Task
from lastbit.train.random_streams import streams
from lastbit.train.run import step_seconds
from lastbit.train.training import Training

__all__ = ["MEMORY_FORMATS", "convolved", "faster_format", "in_format", "refusal"]

MEMORY_FORMATS = ("contiguous", "channels_last")
"""Contiguous is as the task makes its network."""

_CLEARLY_FASTER = 1.1
"""Another format than the task's is chosen only where it is faster by this factor."""

_ROUNDS, _BUDGET = 2, 0.15
"""How often the steps of each are timed, and for about how many seconds after as long a warm-up."""


def in_format(task: Task, name: str) -> Task:
    """Return a task whose networks keep their weights in a memory format, by its name in `MEMORY_FORMATS`."""
    return task if name == MEMORY_FORMATS[0] else replace(task, model=partial(_in_channels_last, task.model))


def _in_channels_last(model: Callable[[], nn.Module]) -> nn.Module:
    return model().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def refusal(task: Task, *, device: torch.device, dtype: torch.dtype) -> str:
    """Return why a task can have no other memory format than its own; "" where it can.

    One that draws random numbers as it trains, as dropout does, draws them in the order of the elements in memory.
    """
    training = Training(task, streams(0), Identity(), device=device, dtype=dtype)
    with closing(training), training.active():
        weights = training.trained().values()
        if not any(weight.ndim == 4 for weight in weights):
            return "it has no convolution over images"
        if not all(weight.is_contiguous() for weight in weights):
            return "its network has a memory format of its own"
        before = generators.save(device)
        training.step()
        after = generators.save(device)
        drawn = not generators.same(before, after)
        if str(device) in before:
            drawn = drawn or not torch.equal(before[str(device)], after[str(device)])
    return "it draws random numbers as it trains, as dropout does" if drawn else ""


def convolved(task: Task) -> int:
    """Return the multiply-adds of the convolutions over images in one forward pass of a batch."""
    found = 0

    def count(module: nn.Module, inputs: object, outputs: torch.Tensor) -> None:
        nonlocal found
        found += outputs.numel() * module.weight[0].numel()  # type: ignore[index]

    training = Training(task, streams(0), Identity(), device=torch.device("cpu"), dtype=torch.float32)
    with closing(training), training.active(), torch.no_grad():
        for module in training.model.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(count)
        apply_model(training.model, training.pair(training.next_batch())[0])
    return found


def faster_format(task: Task, *, device: torch.device, dtype: torch.dtype) -> tuple[str, str]:
    """Return the memory format in which a training step is faster here, and what was measured.

    Args:
        task: one that `refusal` has nothing against.
        device: where it is trained.
        dtype: of its weights.
    """
    own, other = MEMORY_FORMATS
    least = {own: float("inf"), other: float("inf")}
    # They take turns and each keeps its best, so that a moment with other programs at work decides nothing.
    for _ in range(_ROUNDS):
        for name in MEMORY_FORMATS:
            taken = step_seconds(in_format(task, name), device=device, dtype=dtype, budget=_BUDGET)
            least[name] = min(least[name], taken)
    ratio = least[own] / least[other]
    told = f"a step is {typed(float(f'{ratio:.3g}'))} times as fast in {other} as in {own}"
    return (other if ratio >= _CLEARLY_FASTER else own), told
