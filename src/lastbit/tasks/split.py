"""The examples of a training or test set, fetched by index so that only the study decides their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils import data

from lastbit.core.batches import arrived, leaves_of, mapped, placed, tensors_of
from lastbit.core.errors import LastbitError

__all__ = ["Source", "Split"]


class Split:
    """Examples by index; a batch of them is `(inputs, targets)`, a longer tuple, a mapping or any nesting of tensors.

    Tensors that agree in their first axis (in a tuple, a mapping, a `TensorDataset`) are the fast path: they are moved
    once and a batch is a gather of each. For any other map-style dataset a batch is collated item by item, then moved.
    Of a `DataLoader` the dataset and the `collate_fn` are used; its batch size, shuffling and workers are not, because
    the study's streams decide the order.

    Args:
        source: `(inputs, targets)` or another nesting of tensors, a map-style `torch.utils.data.Dataset`, a
            `DataLoader`, or another `Split`.
        name: what to call it in messages.

    Raises:
        LastbitError: the source is none of these, is empty, its tensors differ in length, or its loader draws in a way
            that the study's own order would silently replace.

    Example:
        >>> split = Split((torch.arange(6.0).view(3, 2), torch.tensor([0, 1, 2])))
        >>> split.batch(torch.tensor([2, 0]))[0].tolist()
        [[4.0, 5.0], [0.0, 1.0]]
    """

    def __init__(self, source: Source, *, name: str = "data") -> None:
        self.name = name
        self.tensors: Any = None
        """All examples as one batch, where they are held as tensors, else None."""
        self._dataset: data.Dataset[Any] | None = None
        self._collate = data.default_collate
        self._device: torch.device | str | None = None
        self._dtype: torch.dtype | None = None
        if isinstance(source, Split):
            self.__dict__.update(source.__dict__, name=name)
        elif isinstance(source, data.Dataset | data.DataLoader):
            dataset = source.dataset if isinstance(source, data.DataLoader) else source
            if isinstance(dataset, data.IterableDataset) or not hasattr(dataset, "__len__"):
                raise LastbitError(
                    f"{name}: {type(dataset).__name__} cannot be read by index: pass a map-style dataset "
                    "(with __len__ and __getitem__) or two tensors, and sampler= to draw from it at random"
                )
            if isinstance(source, data.DataLoader):
                _check_loader(source, name)
                self._collate = source.collate_fn
            plain = self._collate is data.default_collate
            if plain and isinstance(dataset, data.TensorDataset):
                self.tensors = _of_tensors(dataset.tensors, name)
            else:
                self._dataset = dataset
        else:
            self.tensors = _of_tensors(source, name)
        if len(self) == 0:
            raise LastbitError(f"{name}: no examples: give at least one")

    def __len__(self) -> int:
        """The number of examples."""
        return len(self._dataset) if self._dataset is not None else len(tensors_of(self.tensors)[0])  # type: ignore[arg-type]

    def batch(self, indices: Tensor) -> Any:
        """Return the examples at `indices` (int64 on the CPU, any order, repeats allowed) as a batch of new tensors."""
        if self._dataset is None:
            return mapped(self.tensors, lambda tensor: tensor.index_select(0, indices.to(tensor.device)))
        wanted = indices.tolist()
        if hasattr(self._dataset, "__getitems__"):
            items = self._dataset.__getitems__(wanted)
        else:
            items = [self._dataset[index] for index in wanted]
        batch = self._collate(items)
        if not tensors_of(batch):
            raise LastbitError(f"{self.name}: a collated batch must hold tensors, got {arrived(batch)}")
        return placed(batch, self._device, self._dtype)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Split:
        """Return these examples on `device` and, where they are floats, in `dtype`; integers keep their type."""
        moved = Split(self, name=self.name)
        if self._dataset is None:
            moved.tensors = placed(self.tensors, device, dtype)
        else:
            moved._device, moved._dtype = device or self._device, dtype or self._dtype
        return moved

    def subset(self, indices: Tensor) -> Split:
        """Return the examples at `indices` (int64, CPU), in that order."""
        part = Split(self, name=self.name)
        if self._dataset is None:
            part.tensors = self.batch(indices)
        else:
            part._dataset = data.Subset(self._dataset, indices.tolist())
        return part


Source: TypeAlias = Split | Tensor | Sequence[Any] | Mapping[str, Any] | data.Dataset[Any] | data.DataLoader[Any]
"""What a `Split` is made from."""


def _check_loader(loader: data.DataLoader[Any], name: str) -> None:
    """Refuse a loader that draws in a way that the study's own order would silently replace."""
    sampler, batches = loader.sampler, loader.batch_sampler
    replaced = None
    if batches is None:
        raise LastbitError(f"{name}: a DataLoader with batch_size=None makes no batches: pass its dataset")
    if type(batches) is not data.BatchSampler:
        replaced = type(batches).__name__
    elif type(sampler) not in (data.SequentialSampler, data.RandomSampler) or len(sampler) != len(loader.dataset):  # type: ignore[arg-type]
        replaced = type(sampler).__name__
    elif isinstance(sampler, data.RandomSampler) and sampler.replacement:
        replaced = "RandomSampler with replacement"
    if replaced:
        raise LastbitError(
            f"{name}: the DataLoader draws with {replaced}, which the study's own order would replace: "
            "pass the examples themselves (torch.utils.data.Subset(dataset, indices) for a part), and to draw them so "
            "write sampler=lambda generator: ... in the Task"
        )


def _of_tensors(value: Any, name: str) -> Any:
    """Return a nesting of tensors that agree in their first axis, detached."""
    leaves = leaves_of(value)
    if not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
        raise LastbitError(
            f"{name} that is not a Dataset, DataLoader or Split must be tensors, as (inputs, targets), "
            f"got {arrived(value)}"
            + ": write torch.from_numpy(...)"
            * any(isinstance(leaf, np.ndarray) for leaf in leaves)
        )
    if any(leaf.ndim == 0 or len(leaf) != len(leaves[0]) for leaf in leaves):
        shapes = [str(tuple(leaf.shape)) for leaf in leaves]
        said = f"inputs {shapes[0]} and targets {shapes[1]}" if len(shapes) == 2 else f"tensors {', '.join(shapes)}"
        raise LastbitError(f"{name}: {said} must agree in their first axis, one row per example")
    for part in leaves:
        if part.is_meta or part.layout is not torch.strided:
            kind = "on the meta device" if part.is_meta else f"of layout {part.layout}"
            raise LastbitError(f"{name}: a tensor {kind}: give dense ones that hold values")
    return mapped(tuple(value) if isinstance(value, list) else value, Tensor.detach)
