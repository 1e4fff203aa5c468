"""Where one parameter's step is linearised, as the tangent of an optimizer sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TangentPoint"]


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
