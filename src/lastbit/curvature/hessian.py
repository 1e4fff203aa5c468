"""The Hessian of the loss and its Gauss–Newton part, by double backward through one retained graph."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from lastbit.core.errors import LastbitError, choose
from lastbit.curvature.batches import LossFunction, ModelLoss, NotFiniteError, WeightedParts, part_of, part_sizes
from lastbit.curvature.decomposition import weigh_parts
from lastbit.curvature.operators import SymmetricOperator
from lastbit.curvature.parameters import ParameterSpace
from lastbit.curvature.snapshot import LossGraph, LossSnapshot, derivative, unwrapped

__all__ = ["GaussNewtonOperator", "HessianOperator"]


class _LossOperator(SymmetricOperator):
    """A matrix whose products are derivatives of the loss, see `HessianOperator` for the arguments."""

    not_finite: ClassVar[str]
    """What is wrong where a product is not finite."""

    # Inference mode would make tensors that can never be differentiated.
    @torch.inference_mode(False)
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
        ordinary = tree_map_only(Tensor, lambda t: t.clone() if t.is_inference() else t, batch)
        if isinstance(ordinary, WeightedParts):
            snapshot = LossSnapshot(unwrapped(model), loss_fn, ordinary.parts, parameters)
        else:
            snapshot = _cut(unwrapped(model), loss_fn, ordinary, parameters, micro_batch, reduction)
        self._attach(snapshot, snapshot.space)

    def _attach(self, snapshot: LossSnapshot, space: ParameterSpace) -> None:
        super().__init__(space.size, space.dtype, space.device)
        self.snapshot = snapshot
        self.space = space
        self._places = [snapshot.space.names.index(name) for name in space.names]

    def block(self, names: Iterable[str]) -> Self:
        """Return the diagonal block of the named parameters; it shares this operator's graph."""
        part = object.__new__(type(self))
        part._attach(self.snapshot, self.space.subspace(names))
        return part

    @torch.inference_mode(False)
    def loss_and_gradient(self) -> tuple[Tensor, Tensor]:
        """Return the loss (0-d) and the flat gradient over this operator's parameters."""
        loss = torch.zeros((), dtype=self.dtype, device=self.device)
        gradient_P = torch.zeros(self.size, dtype=self.dtype, device=self.device)
        for graph, weight in self.snapshot.graphs():
            loss += weight * graph.loss.detach().to(self.dtype)
            gradient_P += weight * self.space.flatten([graph.gradient[place] for place in self._places])
        return loss, gradient_P

    def _multiply(self, vectors_KP: Tensor) -> Tensor:
        out_KP = torch.zeros_like(vectors_KP)
        for graph, weight in self.snapshot.graphs():
            for out_P, vector_P in zip(out_KP, vectors_KP, strict=True):
                take = partial(self._product, graph, self.space.unflatten(vector_P))
                out_P += weight * self.space.flatten(self.snapshot.differentiate(graph.leaves, take))
        if not torch.isfinite(out_KP).all():
            raise NotFiniteError(self.not_finite)
        return out_KP

    @abstractmethod
    def _product(self, graph: LossGraph, direction: list[Tensor]) -> Sequence[Tensor]:
        """Return the product of one part of the batch with one tensor per parameter."""

    def _curved(self, tensors: Sequence[Tensor], direction: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return those of `tensors` at this operator's parameters that have a graph, and their directions.

        A parameter that the loss is linear in has a gradient without graph: its row of the matrix is zero.
        """
        pairs = [(tensors[place], part) for place, part in zip(self._places, direction, strict=True)]
        curved = [(tensor, part.to(tensor.dtype)) for tensor, part in pairs if tensor.requires_grad]
        return [tensor for tensor, _ in curved], [part for _, part in curved]


def _cut(
    model: nn.Module,
    loss_fn: LossFunction,
    batch: Any,
    parameters: Sequence[str] | None,
    micro_batch: int | None,
    reduction: str | None,
) -> LossSnapshot:
    """Return the loss of a batch in parts of at most `micro_batch` examples, their weights derived from the loss."""
    if reduction is not None:
        choose(reduction, ("mean", "sum"), "loss reduction")
    sizes = part_sizes(batch, micro_batch)
    if len(sizes) == 1:
        return LossSnapshot(model, loss_fn, [(batch, 1.0)], parameters)
    ends = list(accumulate(sizes))
    parts = [(part_of(batch, end - size, end), 1.0) for size, end in zip(sizes, ends, strict=True)]
    snapshot = LossSnapshot(model, loss_fn, parts, parameters)
    weights = weigh_parts(snapshot, batch, sizes, reduction)
    # A part of which every example is ignored may have no loss at all.
    snapshot.parts = [(part, weight) for (part, _), weight in zip(parts, weights, strict=True) if weight != 0]
    return snapshot


class HessianOperator(_LossOperator):
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
        micro_batch: examples per forward pass, to bound memory; the product is the full batch's. The weight of each
            pass follows from the loss itself, be it a mean, a sum, or weighted by the targets (`ignore_index`, class
            weights, masks), and a loss that does not add up over passes is refused; see
            `lastbit.curvature.decomposition`. That costs one forward pass without gradients when the operator is built,
            two gradients for a `ModelLoss`, and nothing per product.
        reduction: `"mean"` or `"sum"` over examples, to have micro-batches checked against that alone.

    Raises:
        LastbitError: empty batch, weights that are not finite, a loss without gradient, a module without double
            backward, micro-batches through batch statistics, or a loss that does not add up over micro-batches.

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

    not_finite = "a Hessian-vector product is not finite: the loss has no second derivative at these weights"

    def _product(self, graph: LossGraph, direction: list[Tensor]) -> Sequence[Tensor]:
        gradient, along = self._curved(graph.gradient, direction)
        if not gradient:
            return [torch.zeros_like(part) for part in direction]
        return derivative(gradient, [graph.leaves[place] for place in self._places], along)


class GaussNewtonOperator(_LossOperator):
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
        reduction: as for `HessianOperator`.

    Raises:
        LastbitError: as `HessianOperator`, or the loss is a `ModelLoss`, or the outputs are not one tensor.
    """

    not_finite = "a Gauss–Newton product is not finite: the loss has no second derivative at these outputs"

    def _attach(self, snapshot: LossSnapshot, space: ParameterSpace) -> None:
        if isinstance(snapshot.loss_fn, ModelLoss):
            raise LastbitError(
                "Gauss–Newton needs the outputs separately from the loss, but a ModelLoss hides them: give "
                "loss_fn(outputs, targets)"
            )
        super()._attach(snapshot, space)

    def _product(self, graph: LossGraph, direction: list[Tensor]) -> Sequence[Tensor]:
        if not isinstance(graph.outputs, Tensor):
            raise LastbitError(
                f"Gauss–Newton needs a model that returns one tensor, got {type(graph.outputs).__name__}"
            )
        pulled, along = self._curved(graph.pullback, direction)
        outputs = graph.outputs.detach().requires_grad_()
        (slope,) = derivative(self.snapshot.loss_fn(outputs, graph.part[1]), [outputs], create_graph=True)
        if not pulled or not slope.requires_grad:
            return [torch.zeros_like(part) for part in direction]
        (pushed,) = derivative(pulled, [graph.covector], along)
        (bent,) = derivative(slope, [outputs], pushed)
        return derivative(graph.outputs, [graph.leaves[place] for place in self._places], bent)
