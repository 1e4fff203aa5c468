"""Batch sharpness: the curvature that mini-batch gradients meet along themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.curvature.batches import LossFunction
from lastbit.curvature.intervals import sample_until
from lastbit.curvature.operators.hessian import HessianOperator
from lastbit.stats import Estimate

__all__ = ["BatchSharpness", "batch_sharpness"]


@dataclass(frozen=True)
class BatchSharpness:
    """The estimate and the samples it rests on.

    Attributes:
        estimate: mean with interval; its note says so where the batches ended before the stop rule was met.
        samples: `g^T H g / |g|^2` of each batch.
    """

    estimate: Estimate
    samples: tuple[float, ...]

    def __float__(self) -> float:
        """Return the mean."""
        return float(np.mean(self.samples))


def batch_sharpness(
    model: nn.Module,
    loss_fn: LossFunction,
    batches: Iterable[Any],
    *,
    rtol: float = 0.05,
    confidence: float = 0.95,
    minimum: int = 10,
    parameters: Sequence[str] | None = None,
) -> BatchSharpness:
    """Estimate `E[g^T H g / |g|^2]` over mini-batches, `g` and `H` the gradient and Hessian of the batch's own loss.

    Stochastic gradient descent settles where this reaches `2/lr` (edge of stochastic stability; Andreyev and
    Beneventano, arXiv 2412.20553), while the largest eigenvalue of the full-batch Hessian stays below.
    Batches must be drawn as in training, independently;
    drawing stops when the interval is narrow enough (`sample_until`) or the batches end.

    Args:
        model: the network, in the mode it trains in.
        loss_fn: `loss_fn(outputs, targets)` or a `ModelLoss`.
        batches: mini-batches of the training size, such as an endless sampler cut by `itertools.islice`.
        rtol: half width of the interval wanted, relative to the mean.
        confidence: of the interval.
        minimum: batches before the first look.
        parameters: names to measure; all trainable ones by default.

    Raises:
        LastbitError: as `HessianOperator`; no batch; a batch whose gradient is zero.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(1, 1, bias=False)
        >>> batches = [(torch.ones(4, 1), torch.full((4, 1), 2.0 + i)) for i in range(20)]
        >>> round(float(batch_sharpness(model, torch.nn.functional.mse_loss, batches)), 5)
        2.0
    """

    def draws() -> Iterator[float]:
        for number, batch in enumerate(batches):
            hessian = HessianOperator(model, loss_fn, batch, parameters=parameters)
            gradient_P = hessian.loss_and_gradient()[1]
            length = gradient_P.norm()
            if length == 0:
                raise LastbitError(f"the gradient of batch {number} is zero: batch sharpness has no direction there")
            direction_P = gradient_P / length
            yield float(direction_P.dot(hessian @ direction_P))

    with torch.no_grad():
        estimate, samples = sample_until(draws(), rtol, confidence, minimum)
    return BatchSharpness(estimate, tuple(samples))
