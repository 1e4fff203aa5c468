"""The trainable parameters of a model as one flat vector: names, shapes, offsets, and the blocks it falls into."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import torch
from torch import Tensor, nn

from lastbit.core.errors import LastbitError

__all__ = ["ParameterSpace", "blocks_by_group", "blocks_by_module", "blocks_by_tensor"]


@dataclass(frozen=True)
class ParameterSpace:
    """Named tensors laid out one after the other in a vector of `size` numbers.

    Attributes:
        names: as `model.named_parameters()` gives them; a tied tensor appears once, under its first name.
        shapes: one per name.
        dtype: of the flat vector (the widest of the tensors').
        device: of all tensors.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> ParameterSpace:
        """Lay out `tensors` in the order given.

        Raises:
            LastbitError: there are none, they lie on several devices, or one is not a real floating-point tensor.
        """
        if not tensors:
            raise LastbitError("no trainable parameter: give a model with a parameter that has requires_grad=True")
        devices = {tensor.device for tensor in tensors.values()}
        if len(devices) > 1:
            listed = ", ".join(sorted(map(str, devices)))
            raise LastbitError(f"the parameters lie on several devices ({listed}): move the model to one")
        for name, tensor in tensors.items():
            if not tensor.is_floating_point():
                raise LastbitError(f"parameter {name!r} is {tensor.dtype}: curvature needs real floating-point numbers")
        dtype = reduce(torch.promote_types, (tensor.dtype for tensor in tensors.values()))
        return cls(tuple(tensors), tuple(tensor.shape for tensor in tensors.values()), dtype, devices.pop())

    @cached_property
    def sizes(self) -> list[int]:
        """Number of elements per tensor."""
        return [shape.numel() for shape in self.shapes]

    @property
    def size(self) -> int:
        """Number of elements of all tensors together."""
        return sum(self.sizes)

    def flatten(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the tensors as one new vector; the gradient of a sparse embedding is made dense."""
        return torch.cat([tensor.detach().to_dense().reshape(-1).to(self.dtype) for tensor in tensors])

    def unflatten(self, vector: Tensor) -> list[Tensor]:
        """Return views of `vector` in the tensors' shapes."""
        parts = torch.split(vector, self.sizes)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def subspace(self, names: Iterable[str]) -> ParameterSpace:
        """Return the space of the named tensors alone.

        Raises:
            LastbitError: a name is not in this space, or there is none.
        """
        wanted = set(names)
        if unknown := wanted - set(self.names):
            raise LastbitError(f"unknown parameters {sorted(unknown)}: choose among {', '.join(self.names)}")
        kept = {name: shape for name, shape in zip(self.names, self.shapes, strict=True) if name in wanted}
        if not kept:
            raise LastbitError("a block needs at least one parameter, got none")
        return ParameterSpace(tuple(kept), tuple(kept.values()), self.dtype, self.device)


def blocks_by_tensor(space: ParameterSpace) -> dict[str, tuple[str, ...]]:
    """Return one block per tensor."""
    return {name: (name,) for name in space.names}


def blocks_by_module(space: ParameterSpace) -> dict[str, tuple[str, ...]]:
    """Return one block per module that owns parameters itself (`"(root)"` for the model's own)."""
    blocks: dict[str, tuple[str, ...]] = {}
    for name in space.names:
        owner = name.rpartition(".")[0] or "(root)"
        blocks[owner] = (*blocks.get(owner, ()), name)
    return blocks


def blocks_by_group(
    space: ParameterSpace, model: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, tuple[str, ...]]:
    """Return one block per parameter group that holds tensors of `space`, named `"group 0"` and so on."""
    names = {id(parameter): name for name, parameter in model.named_parameters() if name in space.names}
    blocks = {}
    for index, group in enumerate(optimizer.param_groups):
        if held := tuple(names[id(p)] for p in group["params"] if id(p) in names):
            blocks[f"group {index}"] = held
    return blocks
