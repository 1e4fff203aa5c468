"""The examples of a training or test set, fetched by index so that only the study decides their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils import data

from lastbit.core.errors import LastbitError

__all__ = ["Source", "Split", "placed"]


def placed(x: Tensor, device: torch.device | str | None, dtype: torch.dtype | None) -> Tensor:
    """Return `x` on `device`, in `dtype` if it holds floats; integers and bools keep their type."""
    return x.to(device=device, dtype=dtype if x.is_floating_point() else x.dtype)


class Split:
    """Examples `(inputs, targets)` by index.

    Two tensors (or a `TensorDataset` of two) are the fast path: they are moved once and a batch is one gather. For any
    other map-style dataset a batch is collated item by item, then moved. Of a `DataLoader` the dataset and the
    `collate_fn` are used; its batch size, shuffling and workers are not, because the study's streams decide the order.

    Args:
        source: `(inputs, targets)`, a map-style `torch.utils.data.Dataset`, a `DataLoader`, or another `Split`.
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
        self.tensors: tuple[Tensor, Tensor] | None = None
        """Inputs and targets where they are held as tensors, else None."""
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
                    "(with __len__ and __getitem__) or two tensors"
                )
            if isinstance(source, data.DataLoader):
                _check_loader(source, name)
                self._collate = source.collate_fn
            plain = self._collate is data.default_collate
            if plain and isinstance(dataset, data.TensorDataset) and len(dataset.tensors) == 2:
                self.tensors = _pair_of_tensors(dataset.tensors, name)
            else:
                self._dataset = dataset
        else:
            self.tensors = _pair_of_tensors(source, name)
        if len(self) == 0:
            raise LastbitError(f"{name}: no examples: give at least one")

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.tensors[0]) if self.tensors else len(self._dataset)  # type: ignore[arg-type]

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return the inputs and targets at `indices` (int64 on the CPU, any order, repeats allowed) as new tensors."""
        if self.tensors:
            inputs, targets = self.tensors
            where = indices.to(inputs.device)
            return inputs.index_select(0, where), targets.index_select(0, where)
        assert self._dataset is not None
        wanted = indices.tolist()
        if hasattr(self._dataset, "__getitems__"):
            items = self._dataset.__getitems__(wanted)
        else:
            items = [self._dataset[index] for index in wanted]
        inputs, targets = _pair(self._collate(items), f"{self.name}: a collated batch")
        return placed(inputs, self._device, self._dtype), placed(targets, self._device, self._dtype)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Split:
        """Return these examples on `device` and, where they are floats, in `dtype`; integers keep their type."""
        moved = Split(self, name=self.name)
        if self.tensors:
            inputs, targets = self.tensors
            moved.tensors = placed(inputs, device, dtype), placed(targets, device, dtype)
        else:
            moved._device, moved._dtype = device or self._device, dtype or self._dtype
        return moved

    def subset(self, indices: Tensor) -> Split:
        """Return the examples at `indices` (int64, CPU), in that order."""
        part = Split(self, name=self.name)
        if self.tensors:
            part.tensors = self.batch(indices)
        else:
            assert self._dataset is not None
            part._dataset = data.Subset(self._dataset, indices.tolist())
        return part


Source: TypeAlias = Split | tuple[Tensor, Tensor] | data.Dataset[Any] | data.DataLoader[Any]
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
            "pass the examples themselves, as torch.utils.data.Subset(dataset, indices) for a part"
        )


def _pair(value: Any, what: str) -> tuple[Tensor, Tensor]:
    if isinstance(value, Sequence) and len(value) == 2 and all(isinstance(part, Tensor) for part in value):
        return value[0], value[1]
    arrived = type(value).__name__
    if isinstance(value, Sequence) and not isinstance(value, str):
        arrived += f" of {', '.join(type(part).__name__ for part in value[:4])}"
    raise LastbitError(f"{what} must be two tensors (inputs, targets), got {arrived}")


def _pair_of_tensors(value: Any, name: str) -> tuple[Tensor, Tensor]:
    inputs, targets = _pair(value, f"{name} that is not a Dataset, DataLoader or Split")
    if inputs.ndim == 0 or targets.ndim == 0 or len(inputs) != len(targets):
        raise LastbitError(
            f"{name}: inputs {tuple(inputs.shape)} and targets {tuple(targets.shape)} must agree in their first axis, "
            "one row per example"
        )
    for part in (inputs, targets):
        if part.is_meta or part.layout is not torch.strided:
            kind = "on the meta device" if part.is_meta else f"of layout {part.layout}"
            raise LastbitError(f"{name}: a tensor {kind}: give dense ones that hold values")
    return inputs.detach(), targets.detach()
