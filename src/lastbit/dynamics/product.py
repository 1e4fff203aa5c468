"""The Hessian product of one training step, in the form that a tangent takes it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from lastbit.core.errors import LastbitError
from lastbit.curvature import HessianOperator, ModelLoss
from lastbit.curvature.batches import LossFunction
from lastbit.dynamics.tangent import HessianProduct

__all__ = ["hessian_product"]


def hessian_product(
    model: nn.Module,
    loss_fn: LossFunction | ModelLoss,
    batch: Any,
    *,
    parameters: Sequence[str] | None = None,
    dtype: torch.dtype | None = None,
) -> HessianProduct:
    """Return the product with the Hessian of `loss_fn` at the model's present weights, on the mini-batch of the step.

    The network must be in the mode it trains in. With dropout, build the product *before* the step's own forward pass:
    it puts the random generators back, so that the forward pass then draws the mask that the product has used.

    Args:
        model: the network.
        loss_fn: `loss_fn(outputs, targets) -> scalar`, or a `curvature.ModelLoss`.
        batch: `(inputs, targets)`, or what the `ModelLoss` takes.
        parameters: names, where the tangent does not carry all trainable weights; their order is the model's.
        dtype: evaluate on a copy of the network in this format (floating-point tensors of the batch are cast with it),
            such as `torch.float64` for the accurate tangent of a float32 run; by default the network's own.

    Raises:
        LastbitError: an operation of the network has no double backward (the message names the module), the product is
            not finite, or the batch does not fit.

    Example:
        >>> from lastbit.dynamics import init_tangent, step_tangent
        >>> model = nn.Linear(2, 1, bias=False)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        >>> batch = (torch.eye(2), torch.zeros(2, 1))  # the Hessian of the mean squared error is the identity
        >>> nn.functional.mse_loss(model(batch[0]), batch[1]).backward()
        >>> weights = dict(model.named_parameters())
        >>> product = hessian_product(model, nn.functional.mse_loss, batch)
        >>> _, growth = step_tangent(init_tangent(weights), weights, optimizer, product)
        >>> round(growth.log_growth, 4)  # ln(1 - 0.5)
        -0.6931
    """
    if dtype is not None:
        if not dtype.is_floating_point:
            raise LastbitError(f"dtype = {dtype}: name a floating-point format, such as torch.float64")
        model = copy.deepcopy(model).to(dtype)
        batch = tree_map_only(Tensor, lambda x: x.to(dtype) if x.is_floating_point() else x, batch)
    operator = HessianOperator(model, loss_fn, batch, parameters=parameters)

    def product(direction: Sequence[Tensor]) -> Sequence[Tensor]:
        return operator.space.unflatten(operator @ operator.space.flatten(direction))

    return product
