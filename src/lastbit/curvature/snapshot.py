"""The loss of a model at its present weights, frozen: what every operator of one measurement differentiates.

The snapshot calls the model with copies of its parameters and buffers, under the modes and generator states of the
moment it was taken. So whatever the network does in its forward pass (batch statistics, spectral norm, dropout), the
model itself is left bit for bit as it was, and training may go on while the snapshot is still used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.graph import disable_saved_tensors_hooks
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parameter import is_lazy

from lastbit.core import generators
from lastbit.core.errors import LastbitError
from lastbit.curvature.batches import LossFunction, NotFiniteError, scalar_loss
from lastbit.curvature.double_backward import (
    explain_missing_double_backward,
    is_missing_double_backward,
    missing_second_derivative,
)
from lastbit.curvature.fused import fused_second_derivatives
from lastbit.curvature.parameters import ParameterSpace

__all__ = ["LossGraph", "LossSnapshot", "derivative", "trainable_parameters", "unwrapped"]


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the eager network inside `torch.compile` and data-parallel wrappers, which share its parameters.

    Raises:
        LastbitError: `model` is not a module.
    """
    if not isinstance(model, nn.Module):
        raise LastbitError(f"expected a torch.nn.Module, got {type(model).__name__}: wrap a function in a module")
    while True:
        if isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        else:
            return model


def trainable_parameters(model: nn.Module, names: Sequence[str] | None = None) -> dict[str, nn.Parameter]:
    """Return the parameters to measure by name: those named, or all that have `requires_grad`.

    Raises:
        LastbitError: a name is unknown or names a frozen parameter, or a weight is NaN, infinite or uninitialised.
    """
    found = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if names is not None:
        if unknown := [name for name in names if name not in found]:
            raise LastbitError(f"no trainable parameter {unknown[0]!r}: choose among {', '.join(found)}")
        found = {name: parameter for name, parameter in found.items() if name in set(names)}
    for name, parameter in found.items():
        if is_lazy(parameter):
            raise LastbitError(f"parameter {name!r} has no shape yet: run the model once on a batch first")
        if not torch.isfinite(parameter).all():
            bad = int((~torch.isfinite(parameter)).sum())
            raise NotFiniteError(
                f"parameter {name!r} holds {bad} NaN or infinite weights: measure before training diverged"
            )
    return found


def derivative(
    outputs: Tensor | Sequence[Tensor],
    inputs: Sequence[Tensor],
    directions: Tensor | Sequence[Tensor] | None = None,
    *,
    create_graph: bool = False,
) -> tuple[Tensor, ...]:
    """Return `sum(directions . d outputs / d inputs)`, 0 where there is no path; the graph of `outputs` is kept."""
    return torch.autograd.grad(
        outputs, inputs, directions, retain_graph=True, create_graph=create_graph, materialize_grads=True
    )


T = TypeVar("T")


class _Bound(nn.Module):
    """A model around any code, so that a functional call swaps parameters for all of it (a loss may read them too)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, run: Callable[[], T]) -> T:
        return run()


def _held(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters and buffers that each module holds itself, with their names in a `_Bound` model.

    A tied tensor appears once for each module that holds it; a tensor of a module that is used twice, once: under
    two names `functional_call` takes the tensor of the first swap for the original and leaves it in the model.
    """
    for path, module in model.named_modules(prefix="model"):
        yield from module.named_parameters(path, recurse=False, remove_duplicate=False)
        yield from module.named_buffers(path, recurse=False, remove_duplicate=False)


def _uncompiled() -> AbstractContextManager[Any]:
    """Run compiled modules and functions as they were written: compiled graphs have no second derivatives."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


@dataclass(frozen=True)
class LossGraph:
    """One forward pass on a part of the batch: leaves to differentiate by, loss and outputs, gradient of the loss."""

    part: Any
    leaves: list[Tensor]
    loss: Tensor
    outputs: Any
    gradient: tuple[Tensor, ...]

    @cached_property
    def covector(self) -> Tensor:
        """A covector `u` of the outputs, 0, to differentiate `pullback` by."""
        return torch.zeros_like(self.outputs, requires_grad=True)

    @cached_property
    def pullback(self) -> tuple[Tensor, ...]:
        """`J^T u` with `J = d outputs / d leaves` and a graph in `u`."""
        return derivative(self.outputs, self.leaves, self.covector, create_graph=True)


class LossSnapshot:
    """The loss on one batch at the present weights, as a function that can be differentiated again and again.

    Args:
        model: the network; its modes (train, eval) are kept as they are.
        loss_fn: `loss_fn(outputs, targets)` or a `ModelLoss`.
        parts: what the batch is cut into, each with its weight in the loss; one part leaves it whole.
        parameters: names to measure, all trainable ones by default.

    Raises:
        LastbitError: as `trainable_parameters` and `ParameterSpace.of`, or batches would change the loss (batch
            normalisation in train mode).
    """

    def __init__(
        self, model: nn.Module, loss_fn: LossFunction, parts: list[tuple[Any, float]], parameters: Sequence[str] | None
    ) -> None:
        self.model = model
        self.loss_fn = loss_fn
        self.parts = parts
        found = trainable_parameters(model, parameters)
        self.space = ParameterSpace.of(found)
        if len(parts) > 1:
            self._refuse_batch_statistics()
        self._theta = [parameter.detach().clone() for parameter in found.values()]
        places = {id(parameter): place for place, parameter in enumerate(found.values())}
        # Frozen weights stay shared: they do not change, and may be most of a model.
        held = [(name, t) for name, t in _held(model) if t.requires_grad or not isinstance(t, nn.Parameter)]
        copied = {id(tensor): tensor for _, tensor in held if id(tensor) not in places}
        self._others = [tensor.detach().clone() for tensor in copied.values()]
        places |= {key: len(self._theta) + place for place, key in enumerate(copied)}
        self._places = {name: places[id(tensor)] for name, tensor in held}
        self._modes = [(module, module.training) for module in model.modules()]
        self._random = generators.save(self.space.device)
        self._graph: LossGraph | None = None
        self._fused = True

    def graphs(self) -> Iterator[tuple[LossGraph, float]]:
        """Yield the graph of each part with its weight in the loss; that of a whole batch is built once and kept."""
        for part, weight in self.parts:
            graph = self._graph or self._build(part)
            if len(self.parts) == 1:
                self._graph = graph
            yield graph, weight

    def differentiate(self, leaves: list[Tensor], take: Callable[[], T]) -> T:
        """Return what `take` does, which differentiates a graph with these leaves.

        A network that checkpoints its activations runs again for each derivative, and has to find what it ran with.
        """
        with self._explained(), torch.enable_grad():
            return take() if self._fused else self._as_taken(leaves, take)

    def evaluate(self, run: Callable[[], T]) -> T:
        """Return what `run` does with the network as it was when the snapshot was taken, without gradients."""
        with torch.no_grad():
            return self._as_taken([*self._theta], run, gradients=False)

    def explained(self, run: Callable[[], T]) -> T:
        """Return what `run` differentiates, the network's weights being leaves of their own."""
        with self._explained():
            return self._as_taken([tensor.clone().requires_grad_() for tensor in self._theta], run)

    def slope(self, part: Any) -> Tensor:
        """Return the loss on a part of the batch and its gradient, as one vector."""
        graph = self._build(part)
        return torch.cat([graph.loss.detach().reshape(1).to(self.space.dtype), self.space.flatten(graph.gradient)])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn autograd's complaint about a missing double backward into one line that names the module."""
        try:
            yield
        except RuntimeError as error:
            if not is_missing_double_backward(error):
                raise
            message = explain_missing_double_backward(
                self.model, lambda: self._forward(self.parts[0][0], fused=False), error
            )
        else:
            return
        raise LastbitError(message)

    def _as_taken(self, leaves: list[Tensor], run: Callable[[], T], *, gradients: bool = True) -> T:
        """Run with `leaves` as weights, and with the buffers, modes and generators of when the snapshot was taken."""
        tensors = [*leaves, *(tensor.clone() for tensor in self._others)]
        state = {name: tensors[place] for name, place in self._places.items()}
        found_modes = [(module, module.training) for module, _ in self._modes]
        try:
            for module, training in self._modes:
                module.training = training
            # Fused attention has no double backward; the math kernel is made of operations that have.
            replayed = generators.replayed(self._random, self.space.device)
            with replayed, torch.set_grad_enabled(gradients), sdpa_kernel(SDPBackend.MATH), _uncompiled():
                found: T = functional_call(_Bound(self.model), state, (run,), tie_weights=False)
        finally:
            for module, training in found_modes:
                module.training = training
        return found

    def _forward(self, part: Any, *, fused: bool) -> tuple[list[Tensor], Tensor, Any]:
        leaves = [tensor.clone().requires_grad_() for tensor in self._theta]

        def run() -> tuple[Tensor, Any]:
            if not fused:
                return scalar_loss(self.model, self.loss_fn, part)
            # A checkpoint would run again without the fused operations, and take what they saved for what torch saves.
            with fused_second_derivatives(), disable_saved_tensors_hooks("checkpoints take torch's own derivatives"):
                return scalar_loss(self.model, self.loss_fn, part)

        loss, outputs = self._as_taken(leaves, run)
        return leaves, loss, outputs

    def _build(self, part: Any) -> LossGraph:
        if self._fused:
            try:
                return self._differentiated(part, fused=True)
            except RuntimeError:
                # A network that differentiates itself, maps with torch.func or checkpoints its activations takes
                # torch's own derivatives alone; whatever else is wrong shows again below.
                self._fused = False
        with self._explained():
            return self._differentiated(part, fused=False)

    def _differentiated(self, part: Any, *, fused: bool) -> LossGraph:
        leaves, loss, outputs = self._forward(part, fused=fused)
        gradient = self._as_taken(leaves, lambda: derivative(loss, leaves, create_graph=True))
        # autograd.grad would silently leave out a gradient path that ends in an error node.
        if blocked := missing_second_derivative(gradient):
            raise RuntimeError(blocked)
        return LossGraph(part, leaves, loss, outputs, gradient)

    def _refuse_batch_statistics(self) -> None:
        for name, module in self.model.named_modules():
            kind = nn.modules.batchnorm._BatchNorm
            if isinstance(module, kind) and (module.training or module.running_mean is None):
                raise LastbitError(
                    f"module {name!r} ({type(module).__name__}) uses batch statistics, so micro-batches would change "
                    "the loss: leave micro_batch out, or call model.eval() for the eval-mode Hessian"
                )
