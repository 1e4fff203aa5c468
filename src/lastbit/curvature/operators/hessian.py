"""The Hessian of the loss, by double backward through one retained graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lastbit.curvature.batches import LossFunction, NotFiniteError
from lastbit.curvature.operators.base import SymmetricOperator
from lastbit.curvature.parameters import ParameterSpace
from lastbit.curvature.snapshot import LossGraph, LossSnapshot

__all__ = ["HessianOperator"]


class HessianOperator(SymmetricOperator):
    """The Hessian `H = d^2 L / d theta^2` of the loss at the model's present weights, on one batch.

    The gradient is built once with its graph; each product is then one vector-Jacobian product of the gradient,
    `H v = d(g . v)/d theta`, at the cost of about two gradients. Reverse over reverse is used because it is correct
    for every layer that has a double backward; forward-mode compositions are not, for normalisation layers.

    The model's parameters, gradients, buffers, modes and random generators are left bit for bit as they are, and the
    operator keeps describing the weights it was built at. Dropout in train mode draws one mask for all products.

    Args:
        model: the network, in the mode (train or eval) whose Hessian is wanted.
        loss_fn: `loss_fn(outputs, targets) -> scalar`, or a `ModelLoss`.
        batch: `(inputs, targets)`; inputs may be a tensor, a tuple of arguments or a mapping of keywords.
        parameters: names of the parameters to differentiate by; all trainable ones by default.
        micro_batch: examples per forward pass, to bound memory; the product is the full batch's.
        reduction: `"mean"` or `"sum"` over examples, for micro-batches; by default `loss_fn.reduction`, else mean.

    Raises:
        LastbitError: empty batch, weights that are not finite, a loss without gradient, a module without double
            backward, or micro-batches through batch statistics.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(3, 1, bias=False)
        >>> x = torch.eye(3)
        >>> hessian = HessianOperator(model, torch.nn.functional.mse_loss, (x, torch.zeros(3, 1)))
        >>> hessian.dense()
        tensor([[0.6667, 0.0000, 0.0000],
                [0.0000, 0.6667, 0.0000],
                [0.0000, 0.0000, 0.6667]])
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
        snapshot = LossSnapshot(
            model, loss_fn, batch, parameters=parameters, micro_batch=micro_batch, reduction=reduction
        )
        self._attach(snapshot, snapshot.space)

    def _attach(self, snapshot: LossSnapshot, space: ParameterSpace) -> None:
        super().__init__(space.size, space.dtype, space.device)
        self.snapshot = snapshot
        self.space = space
        self._places = [snapshot.space.names.index(name) for name in space.names]

    def block(self, names: Iterable[str]) -> HessianOperator:
        """Return the diagonal block of the named parameters; it shares this operator's graph."""
        part = HessianOperator.__new__(HessianOperator)
        part._attach(self.snapshot, self.space.subspace(names))
        return part

    def loss_and_gradient(self) -> tuple[Tensor, Tensor]:
        """Return the loss and the flat gradient over this operator's parameters."""
        loss, gradient = self.snapshot.loss_and_gradient()
        if self.space is self.snapshot.space:
            return loss, gradient
        return loss, gradient[self.snapshot.space.indices(self.space.names)]

    def _multiply(self, vectors_KP: Tensor) -> Tensor:
        out_KP = torch.zeros_like(vectors_KP)
        for graph, weight in self.snapshot.graphs():
            leaves = [graph.leaves[place] for place in self._places]
            # A parameter that the loss is linear in has a gradient without graph: its row of H is zero.
            curved = [(i, graph.gradient[p]) for i, p in enumerate(self._places) if graph.gradient[p].requires_grad]
            if not curved:
                continue
            for row, vector_P in enumerate(vectors_KP):
                out_KP[row] += weight * self._product(graph, leaves, curved, vector_P)
        if not torch.isfinite(out_KP).all():
            raise NotFiniteError(
                "a Hessian-vector product is not finite: the loss has no second derivative at these weights"
            )
        return out_KP

    def _product(
        self, graph: LossGraph, leaves: list[Tensor], curved: list[tuple[int, Tensor]], vector_P: Tensor
    ) -> Tensor:
        parts = self.space.unflatten(vector_P)

        def take() -> tuple[Tensor, ...]:
            return torch.autograd.grad(
                [gradient for _, gradient in curved],
                leaves,
                [parts[i].to(gradient.dtype) for i, gradient in curved],
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )

        with self.snapshot.explained():
            products = self.snapshot.differentiate(graph.leaves, take)
        return self.space.flatten(products)
