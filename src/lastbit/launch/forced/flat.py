"""Tensors of one kind as flat vectors, one for each format, so that they travel and are compared all at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lastbit.core.ulp import local

__all__ = ["Flat", "Layout", "dtype_name", "gathered", "joined", "layout_of", "near", "parts_of", "spread"]


@dataclass(frozen=True)
class Layout:
    """Which tensors a flat vector is made of, in their order."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Elements of each."""
        return tuple(int(np.prod(shape)) for shape in self.shapes)

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """Where each ends."""
        return np.cumsum(np.array(self.sizes, dtype=np.int64))

    @cached_property
    def begins(self) -> NDArray[np.int64]:
        """Where each begins."""
        return self.ends - np.array(self.sizes, dtype=np.int64)

    @cached_property
    def key(self) -> str:
        """By which it is known to other processes."""
        return blake2b(repr((self.names, self.shapes)).encode(), digest_size=8).hexdigest()


@lru_cache(maxsize=256)
def layout_of(names: tuple[str, ...], shapes: tuple[tuple[int, ...], ...]) -> Layout:
    """Return a layout, the same object for equal ones."""
    return Layout(names, shapes)


@dataclass(frozen=True)
class Flat:
    """Tensors in a row, on the CPU."""

    layout: Layout
    values: Tensor


def dtype_name(dtype: torch.dtype) -> str:
    """Return `float32` of `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def near(tensor: Tensor) -> Tensor:
    """Return what a process holds of a tensor: its own shard, dense, complex numbers as pairs."""
    tensor = local(tensor.detach())
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def gathered(tensors: Mapping[str, Tensor]) -> dict[str, Flat]:
    """Return copies of tensors in a row, by their formats."""
    kinds: dict[torch.dtype, tuple[list[str], list[Tensor]]] = {}
    for name, tensor in tensors.items():
        held = near(tensor)
        names, parts = kinds.setdefault(held.dtype, ([], []))
        names.append(name)
        parts.append(held)
    return {
        dtype_name(dtype): Flat(layout_of(tuple(names), tuple(tuple(one.shape) for one in parts)), joined(parts))
        for dtype, (names, parts) in kinds.items()
    }


def joined(parts: Iterable[Tensor]) -> Tensor:
    """Return a copy of tensors in a row."""
    # Each of its own device first: a pipeline's lie on several.
    return torch.cat([one.reshape(-1).cpu() for one in parts])


def spread(layout: Layout, values: Tensor, into: Sequence[Tensor]) -> None:
    """Write the parts of a flat vector into tensors of the same shapes."""
    with torch.no_grad():
        for one, (_, part) in zip(into, parts_of(layout, values), strict=True):
            near(one).copy_(part)


def parts_of(layout: Layout, values: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield the parts of a flat vector, with their names and in their shapes."""
    parts = torch.split(values, list(layout.sizes))
    for name, shape, part in zip(layout.names, layout.shapes, parts, strict=True):
        yield name, part.view(shape)
