"""From a cell's settings to the task that is trained, and the batch that its curvature is measured on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lastbit.core.config import validated
from lastbit.core.errors import LastbitError
from lastbit.optimizers.registry import OPTIMIZERS
from lastbit.studies.eos.config import Cell, EosConfig
from lastbit.studies.eos.networks import plain_cnn, plain_mlp
from lastbit.tasks import Task, TaskConfig, build_task
from lastbit.tasks.registry import TASKS

__all__ = ["LOSSES", "build_cell", "probe_batch", "squared_error"]


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return half the squared error, summed over outputs and averaged over examples.

    Class labels (integers `(N,)`) stand for one-hot targets. Halved, so that its Hessian in the outputs is the
    identity, as in the edge-of-stability literature (Cohen et al., ICLR 2021).

    Example:
        >>> float(squared_error(torch.tensor([[1.0, 0.0]]), torch.tensor([1])))
        1.0
    """
    if not targets.is_floating_point():
        targets = F.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
    return 0.5 * (outputs - targets).square().flatten(1).sum(1).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared-error": squared_error,
    "cross-entropy": F.cross_entropy,
}
"""The training losses by name."""


def build_cell(config: EosConfig, cell: Cell) -> Task:
    """Return the task of one cell.

    A built-in task takes the cell's network, optimizer and loss. A function in a user's file is called with the cell's
    values as keyword arguments; batch and training size replace the task's own where they are set.

    Raises:
        LastbitError: the task, its data or the settings do not do.
    """
    if config.is_file:
        sizes = {"batch_size": config.batch_size, "train_size": config.train_size}
        given = {name: value for name, value in sizes.items() if value is not None}
        return build_task(validated(TaskConfig, {"task": config.task, **given}, flag="--"), cell.axes())
    batch = config.batch_size or 0
    examples = config.train_size or 0
    if batch > examples:
        raise LastbitError(f"--batch-size = {batch} exceeds the {examples} training examples: write at most that")
    steps, options = config.steps or 0, OPTIMIZERS[config.optimizer or "sgd"].options
    settings = {
        "task": config.task,
        "model": config.model,
        "norm": "none",
        "activation": config.activation,
        "width": cell.width,
        "optimizer": config.optimizer,
        "lr": cell.lr,
        "momentum": cell.momentum if "momentum" in options else None,
        "nesterov": config.nesterov if "nesterov" in options else None,
        "weight_decay": cell.weight_decay,
        "schedule": config.schedule,
        "epochs": -(-steps // (examples // batch)),
        "batch_size": batch,
        "train_size": examples,
        "augment": "none",
        "data_root": config.data_root,
    }
    task = build_task(validated(TaskConfig, settings, flag="--"))
    changes = {"depth": cell.depth, "kernel": cell.kernel, "loss": config.loss}
    more = {name: value for name, value in changes.items() if value is not None}
    return replace(
        task,
        model=_network(config, cell) or task.model,
        loss=LOSSES[config.loss or "squared-error"],
        settings={**task.settings, **more},
    )


def _network(config: EosConfig, cell: Cell) -> Callable[[], nn.Module] | None:
    """Return the factory of a network that can be varied; None where the task's own is meant."""
    spec = TASKS[config.task]
    common = {"depth": cell.depth, "width": cell.width, "activation": config.activation}
    if config.model == "mlp":
        return partial(plain_mlp, spec.shape, spec.classes, **common)  # type: ignore[arg-type]
    if config.model == "cnn":
        return partial(plain_cnn, spec.shape, spec.classes, kernel=cell.kernel, **common)  # type: ignore[arg-type]
    return None


def probe_batch(task: Task, size: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the first `size` training examples, or all of them where there are fewer."""
    return task.train.to(device, dtype).batch(torch.arange(min(size, len(task.train))))
