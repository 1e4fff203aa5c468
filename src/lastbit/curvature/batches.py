"""A batch and its loss: how a model is called, how a batch is cut into micro-batches, and how their losses add up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from lastbit.core.batches import apply_model
from lastbit.core.errors import LastbitError

__all__ = [
    "LossFunction",
    "ModelLoss",
    "NotFiniteError",
    "WeightedParts",
    "batch_size",
    "part_of",
    "part_sizes",
]


class NotFiniteError(LastbitError):
    """Weights, loss or a product hold NaN or infinity: training has diverged, so there is no curvature to measure."""


LossFunction = Callable[..., Tensor]
"""`loss_fn(outputs, targets) -> scalar`, for a batch that is a pair `(inputs, targets)`; or a `ModelLoss`."""


@dataclass(frozen=True)
class ModelLoss:
    """A loss that calls the model itself, for batches that are not a pair `(inputs, targets)`.

    Attributes:
        function: `function(model, batch) -> scalar`. It must use the model it is given.

    Example:
        >>> loss_fn = ModelLoss(lambda model, batch: model(batch["pixels"]).square().mean())
    """

    function: Callable[[nn.Module, Any], Tensor]

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        """Return the scalar loss of `model` on `batch`."""
        return self.function(model, batch)


def batch_size(batch: Any) -> int:
    """Return the number of examples: the length of every tensor of `batch` that has a dimension.

    Raises:
        LastbitError: the batch holds no tensor, no example, or tensors of different lengths.
    """
    lengths = [len(leaf) for leaf in tree_leaves(batch) if isinstance(leaf, Tensor) and leaf.ndim > 0]
    if not lengths:
        raise LastbitError("the batch holds no tensor with a batch dimension: give (inputs, targets) as tensors")
    if len(set(lengths)) > 1:
        raise LastbitError(f"the tensors of the batch have different lengths ({lengths}): cut them to one batch size")
    if lengths[0] == 0:
        raise LastbitError("the batch holds 0 examples: give at least one")
    return lengths[0]


@dataclass(frozen=True)
class WeightedParts:
    """A batch cut into parts, each with its weight in the loss of the whole."""

    parts: list[tuple[Any, float]]


def part_of(batch: Any, start: int, end: int) -> Any:
    """Return the examples from `start` to before `end`: every tensor is cut along its first dimension."""
    return tree_map_only(Tensor, lambda t: t[start:end] if t.ndim > 0 else t, batch)


def part_sizes(batch: Any, size: int | None) -> list[int]:
    """Return the numbers of examples of parts of at most `size`, one part where that is None.

    Raises:
        LastbitError: as `batch_size`, or `size` is out of range.
    """
    total = batch_size(batch)
    if size is None:
        return [total]
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise LastbitError(f"micro_batch = {size!r}: give a positive number of examples, or None for the whole batch")
    return [min(size, total - start) for start in range(0, total, size)]


def scalar_loss(model: nn.Module, loss_fn: LossFunction, batch: Any) -> tuple[Tensor, Any]:
    """Return the loss and the model's outputs (None for a `ModelLoss`).

    Raises:
        LastbitError: the batch is not a pair, or the loss is not a differentiable, finite scalar.
    """
    outputs = None
    if not callable(loss_fn):
        raise LastbitError(f"the loss is a {type(loss_fn).__name__}: give a function loss_fn(outputs, targets)")
    if isinstance(loss_fn, ModelLoss):
        loss = loss_fn(model, batch)
    else:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            kind = type(batch).__name__ + (f" of {len(batch)}" if isinstance(batch, tuple | list) else "")
            raise LastbitError(
                f"the batch is a {kind}, not a pair (inputs, targets): pass a pair, or wrap the loss as "
                "ModelLoss(lambda model, batch: ...)"
            )
        outputs = apply_model(model, batch[0])
        loss = loss_fn(outputs, batch[1])
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        arrived = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
        raise LastbitError(f"the loss is {arrived}, not a scalar tensor: reduce it with .mean() or .sum()")
    if not loss.requires_grad:
        raise LastbitError(
            "the loss carries no gradient: it must depend on a trainable parameter, without .item(), .detach() or "
            "no_grad() in between"
        )
    if not torch.isfinite(loss).all():
        raise NotFiniteError(f"the loss is {loss.item()}: curvature needs finite weights, inputs and loss")
    return loss.reshape(()), outputs
