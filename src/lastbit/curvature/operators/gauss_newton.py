"""The generalised Gauss–Newton matrix: the Hessian without the curvature of the network itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lastbit.core.errors import LastbitError
from lastbit.curvature.batches import LossFunction, ModelLoss, NotFiniteError
from lastbit.curvature.operators.base import SymmetricOperator
from lastbit.curvature.snapshot import LossGraph, LossSnapshot

__all__ = ["GaussNewtonOperator"]


class GaussNewtonOperator(SymmetricOperator):
    """The generalised Gauss–Newton matrix `G = J^T (d^2 L / dz^2) J`, with `J = dz / d theta` and outputs `z`.

    It is the Hessian of the loss of the linearised network, positive semi-definite where the loss is convex in the
    outputs (Schraudolph, Neural Computation 14, 2002). `J v` comes from differentiating `u -> J^T u` by its dummy
    argument `u`, so only reverse mode is used. The graph is kept across products as in `HessianOperator`.

    Args:
        model: the network, in the mode whose matrix is wanted. It must return one tensor.
        loss_fn: `loss_fn(outputs, targets) -> scalar`; a `ModelLoss` has no outputs to split at.
        batch: `(inputs, targets)`.
        parameters: names of the parameters to differentiate by; all trainable ones by default.
        micro_batch: examples per forward pass, to bound memory.
        reduction: `"mean"` or `"sum"` over examples, for micro-batches.

    Raises:
        LastbitError: as `HessianOperator`, or the loss is a `ModelLoss`, or the outputs are not one tensor.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFunction,
        batch: Any,
        *,
        parameters: Sequence[str] | None = None,
        micro_batch: int | None = None,
        reduction: str | None = None,
    ) -> None:
        if isinstance(loss_fn, ModelLoss):
            raise LastbitError(
                "Gauss–Newton needs the outputs separately from the loss, but a ModelLoss hides them: give "
                "loss_fn(outputs, targets)"
            )
        self.snapshot = LossSnapshot(
            model, loss_fn, batch, parameters=parameters, micro_batch=micro_batch, reduction=reduction
        )
        self.space = self.snapshot.space
        super().__init__(self.space.size, self.space.dtype, self.space.device)
        self._kept: tuple[Tensor, list[Tensor]] | None = None

    def _pullback(self, graph: LossGraph) -> tuple[Tensor, list[Tensor]]:
        """Return a dummy output covector `u` and `J^T u` with a graph in `u`."""
        if not isinstance(graph.outputs, Tensor):
            raise LastbitError(
                f"Gauss–Newton needs a model that returns one tensor, got {type(graph.outputs).__name__}"
            )
        dummy = torch.zeros_like(graph.outputs, requires_grad=True)
        pulled = torch.autograd.grad(
            graph.outputs, graph.leaves, dummy, create_graph=True, allow_unused=True, materialize_grads=True
        )
        return dummy, list(pulled)

    def _multiply(self, vectors_KP: Tensor) -> Tensor:
        out_KP = torch.zeros_like(vectors_KP)
        parts = self.snapshot.parts
        for (graph, weight), part in zip(self.snapshot.graphs(), parts, strict=True):
            with self.snapshot.explained(), torch.enable_grad():
                out_KP += weight * self.snapshot.differentiate(
                    graph.leaves, partial(self._products, graph, part, vectors_KP)
                )
        if not torch.isfinite(out_KP).all():
            raise NotFiniteError(
                "a Gauss–Newton product is not finite: the loss has no second derivative at these outputs"
            )
        return out_KP

    def _products(self, graph: LossGraph, part: Any, vectors_KP: Tensor) -> Tensor:
        if self.snapshot.retained:
            self._kept = self._kept or self._pullback(graph)
            dummy, pulled = self._kept
        else:
            dummy, pulled = self._pullback(graph)
        outputs = graph.outputs.detach().requires_grad_()
        loss = self.snapshot.loss_fn(outputs, part[1])
        (slope,) = torch.autograd.grad(loss, outputs, create_graph=True)
        return torch.stack([self._product(graph, dummy, pulled, outputs, slope, v_P) for v_P in vectors_KP])

    def _product(
        self, graph: LossGraph, dummy: Tensor, pulled: list[Tensor], outputs: Tensor, slope: Tensor, vector_P: Tensor
    ) -> Tensor:
        tangents = [t.to(p.dtype) for t, p in zip(self.space.unflatten(vector_P), pulled, strict=True)]
        curved = [(p, t) for p, t in zip(pulled, tangents, strict=True) if p.requires_grad]
        if not curved or not slope.requires_grad:
            return torch.zeros_like(vector_P)
        (pushed,) = torch.autograd.grad(
            [p for p, _ in curved], dummy, [t for _, t in curved], retain_graph=True, materialize_grads=True
        )
        (bent,) = torch.autograd.grad(slope, outputs, pushed, retain_graph=True, materialize_grads=True)
        back = torch.autograd.grad(
            graph.outputs, graph.leaves, bent, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return self.space.flatten(back)
