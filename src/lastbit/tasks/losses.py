"""The built-in training losses by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LOSSES", "squared_error"]


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return half the squared error, summed over outputs and averaged over examples.

    Class labels (integers `(N,)`) stand for one-hot targets. Halved, so that its Hessian in the outputs is the
    identity, as in the edge-of-stability literature (Cohen et al., ICLR 2021).

    Example:
        >>> import torch
        >>> float(squared_error(torch.tensor([[1.0, 0.0]]), torch.tensor([1])))
        1.0
    """
    import torch.nn.functional as F  # the names of losses are listed without torch

    if not targets.is_floating_point():
        targets = F.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
    return 0.5 * (outputs - targets).square().flatten(1).sum(1).mean()


LOSSES = {"squared-error": f"{__name__}:squared_error", "cross-entropy": "torch.nn.functional:cross_entropy"}
"""The training losses by name, and where their functions stand."""
