"""What the functions of a registration return and take: a step's direction, and the point it is linearised at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Direction", "TangentPoint"]


@dataclass(frozen=True)
class Direction:
    """The step `w <- shrink * w - step_size * numerator / denominator` over the elements of one `OptimizerStep`.

    `d = numerator / denominator` is the published `d`: the full direction, with coupled weight decay, momentum and
    Adam's ratio in it. `shrink` is decoupled weight decay, which is no part of `d`.

    Attributes:
        step_size: the factor of `d`: the learning rate, for Adam with its bias correction.
        numerator: vector over the weights.
        denominator: vector over the weights; None stands for ones.
        shrink: the factor on the weights, `1 - lr * weight_decay` for decoupled weight decay.
    """

    step_size: float
    numerator: Tensor
    denominator: Tensor | None = None
    shrink: float = 1.0

    def shrunk(self, weights: Tensor) -> Tensor:
        """Return `shrink * weights`, rounded as torch's own step rounds it."""
        return weights if self.shrink == 1.0 else weights * self.shrink

    def applied(self, weights: Tensor, k: int = 1) -> Tensor:
        """Return `shrink * weights - (k * step_size) * (d / k)` by the operations of torch's single-tensor steps.

        These are `add` with `alpha` where there is no denominator, and `addcdiv` with `value` where there is one.
        """
        numerator = self.numerator if k == 1 else self.numerator / k
        factor = -(k * self.step_size)
        if self.denominator is None:
            return self.shrunk(weights).add(numerator, alpha=factor)
        return self.shrunk(weights).addcdiv(numerator, self.denominator, value=factor)


@dataclass(frozen=True, kw_only=True)
class TangentPoint:
    """One parameter before a step: where its update is linearised, and in which direction.

    A tangent function maps it to `δw` after the step and to the tangents of the buffers after it, in an order of its
    own. All tensors have the parameter's shape; those of the tangent may be wider than the weights.

    Attributes:
        weights: `w`.
        gradient: `g`, as `backward` left it.
        group: the parameter group: `group["lr"]` and the like.
        state: the optimizer's state of the parameter; empty before its first step.
        delta: `δw`.
        product: `H δw`, with the Hessian of the loss that `g` belongs to.
        buffers: tangents of the optimizer's buffers as the last step returned them; empty where they are all 0.
        frozen: whether the preconditioner is held fixed instead of differentiated.
    """

    weights: Tensor
    gradient: Tensor
    group: Mapping[str, Any]
    state: Mapping[str, Any]
    delta: Tensor
    product: Tensor
    buffers: tuple[Tensor, ...]
    frozen: bool

    @property
    def sign(self) -> float:
        """-1 where the group maximizes, else 1."""
        return -1.0 if self.group.get("maximize") else 1.0
