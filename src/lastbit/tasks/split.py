"""The examples of a training or test set, fetched by index so that only the study decides their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils import data

from lastbit.core.batches import arrived, leaves_of, mapped, pinned, placed, tensors_of
from lastbit.core.errors import LastbitError
from lastbit.tasks.loader import LoadedFeed, Loader
from lastbit.tasks.mapped import MappedArray, Pages, mapped_file, tensor_of
from lastbit.tasks.reading import Collate, Draws, Reader
from lastbit.tasks.streaming import Stream, StreamFeed

__all__ = ["Feed", "Source", "Split", "read_alike"]

_HELD = 1 << 30
"""Bytes of tensors up to which they are moved to the device whole."""

_READ_WHOLE = 64 << 20
"""Bytes up to which arrays in mapped files are read into memory whole."""

_NO_DRAWS = Draws()


class Feed(Protocol):
    """The batches of one pass, best taken in their order."""

    def take(self, number: int) -> Any:
        """Return a batch, by its number from 0.

        Raises:
            UnreadableExample: the user's own code raises, or a loader process died.
            LastbitError: the examples make no batch.
        """


class Split:
    """Examples by index; a batch of them is `(inputs, targets)`, a longer tuple, a mapping or any nesting of tensors.

    Tensors and NumPy arrays that agree in their first axis (in a tuple, a mapping, a `TensorDataset`) are the fast
    path: up to 1 GiB, or 64 MiB in a memory-mapped file, they are moved once and a batch is a gather of each; larger
    ones stay where they are, and a batch is gathered and then moved. Of any other map-style dataset a batch is
    read item by item (see `Reader`), collated and moved, by processes of a `Loader` where it has one. An iterable
    dataset of known length is read in its own order (see `Stream`). The bits of a batch do not depend on the way.

    Of a `DataLoader` the dataset and the `collate_fn` are used; its batch size, shuffling and workers are not, because
    the study's streams decide the order.

    Args:
        source: `(inputs, targets)` or another nesting of tensors and arrays, a `torch.utils.data.Dataset` (or what else
            has `__len__` and `__getitem__` and is no sequence, as a data set of Hugging Face), a `DataLoader`, or
            another `Split`.
        name: what to call it in messages.

    Raises:
        LastbitError: the source is none of these, is empty, has no length, its tensors differ in length, or its loader
            draws in a way that the study's own order would silently replace.

    Example:
        >>> split = Split((torch.arange(6.0).view(3, 2), torch.tensor([0, 1, 2])))
        >>> split.batch(torch.tensor([2, 0]))[0].tolist()
        [[4.0, 5.0], [0.0, 1.0]]
    """

    def __init__(self, source: Source, *, name: str = "data") -> None:
        self.name = name
        self.tensors: Any = None
        """All examples as one batch, where they are held as tensors, else None."""
        self._lying: Any = None
        """All examples as tensors that are not held: too large, be it on disk."""
        self._files: Any = None
        """What those were made from, where some of it is on disk."""
        self._pages = Pages([])
        self._reader: Reader | Stream | None = None
        self._loader: Loader | None = None
        self._rows: Tensor | None = None
        """Which examples of what is not held these are; None: all."""
        self._device: torch.device | str | None = None
        self._dtype: torch.dtype | None = None
        if isinstance(source, Split):
            self.__dict__.update(source.__dict__, name=name)
            self._reader = None if self._reader is None else self._reader.changed(name)
        elif isinstance(source, data.DataLoader) or _is_dataset(source):
            self._take(source)
        else:
            self._hold(source)
        if len(self) == 0:
            raise LastbitError(f"{name}: no examples: give at least one")

    def _take(self, source: Any) -> None:
        """Read from a dataset, or from that of a loader."""
        dataset = source.dataset if isinstance(source, data.DataLoader) else source
        collate = data.default_collate
        _check_length(dataset, self.name)
        if isinstance(source, data.DataLoader):
            _check_loader(source, self.name)
            collate = source.collate_fn
        if isinstance(dataset, data.IterableDataset):
            self._reader = Stream(dataset, collate, name=self.name)
        elif isinstance(dataset, data.TensorDataset) and collate is data.default_collate:
            self._hold(dataset.tensors)
        else:
            self._reader = Reader(dataset, collate, name=self.name)

    def _hold(self, source: Any) -> None:
        """Gather from tensors and arrays."""
        tensors = _of_tensors(source, self.name)
        files = [found for leaf in leaves_of(source) if isinstance(leaf, np.ndarray) and (found := mapped_file(leaf))]
        if sum(tensor.nbytes for tensor in tensors_of(tensors)) <= (_READ_WHOLE if files else _HELD):
            self.tensors = mapped(tensors, Tensor.clone) if files else tensors
            return
        self._lying = tensors
        self._files = source if files else None
        self._pages = Pages([file for whole, file in files if whole.mode != "c"])

    def __getstate__(self) -> dict[str, Any]:
        """Return what makes the same split in another process; arrays on disk travel as the place where they lie."""
        if self._files is None:
            return self.__dict__
        files = mapped(self._files, lambda array: MappedArray.of(array) or array, np.ndarray)
        return self.__dict__ | {"_lying": None, "_pages": None, "_files": files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._files is not None:
            self._hold(mapped(self._files, MappedArray.open, MappedArray))

    def __len__(self) -> int:
        """The number of examples."""
        if self._rows is not None:
            return len(self._rows)
        return len(self._reader.dataset) if self._reader is not None else len(tensors_of(self._whole)[0])

    @property
    def _whole(self) -> Any:
        return self._lying if self.tensors is None else self.tensors

    @property
    def is_stream(self) -> bool:
        """Whether the examples come in an order of their own."""
        return isinstance(self._reader, Stream)

    @property
    def is_read(self) -> bool:
        """Whether the examples are those of a dataset, and no tensors."""
        return self._reader is not None

    @property
    def targets(self) -> Tensor | None:
        """The last part of all examples, where they are a tuple of tensors, else None."""
        if not isinstance(self._whole, tuple) or not isinstance(self._whole[-1], Tensor):
            return None
        return self._whole[-1] if self._rows is None else self._whole[-1][self._rows]

    @property
    def example_bytes(self) -> int:
        """Size of an example in a batch; of those that differ, of the first."""
        if self._reader is not None:
            return self._reader.example_bytes
        return sum(tensor.nbytes // len(tensor) for tensor in tensors_of(self._whole))

    def check(self) -> None:
        """Check that the examples can be sent to the processes that are to read them.

        Raises:
            LastbitError: they cannot.
        """
        if isinstance(self._reader, Reader) and self._loader is not None:
            self._loader.check(self.name)

    def batch(self, indices: Tensor, draws: Draws = _NO_DRAWS) -> Any:
        """Return the examples at `indices` (int64 on the CPU, any order, repeats allowed) as a batch of new tensors.

        Args:
            indices: which ones. Of a stream, all of those before the last of them are read.
            draws: what the random draws made while reading follow from.

        Raises:
            UnreadableExample: the user's own code raises.
            LastbitError: the examples make no batch.
        """
        rows = self._at(indices)
        if self._reader is not None:
            return self._moved(self._reader.read(rows.tolist(), draws))
        batch = mapped(self._whole, lambda tensor: tensor.index_select(0, rows.to(tensor.device)))
        if self.tensors is not None:
            return batch
        self._pages.read(len(rows), self.example_bytes)
        return self._moved(batch)

    def feed(self, batches: Sequence[Tensor], draws: Draws = _NO_DRAWS) -> Feed:
        """Return the batches of these indices one by one, read ahead where there are processes for it.

        Args:
            batches: indices of each.
            draws: what the random draws made while reading follow from.
        """
        rows = [self._at(indices) for indices in batches] if self._rows is not None else batches
        if isinstance(self._reader, Stream):
            return _Moving(StreamFeed(self._reader, rows, draws), self._moved)
        if self._reader is not None and self._loader is not None and self._loader.workers:
            return _Moving(LoadedFeed(self._loader, self.name, rows, draws), self._moved)
        return _Gathering(self, batches, draws)

    def _at(self, indices: Tensor) -> Tensor:
        return indices if self._rows is None else self._rows[indices]

    def _moved(self, batch: Any) -> Any:
        return placed(pinned(batch, self._device), self._device, self._dtype)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Split:
        """Return these examples on `device` and, where they are floats, in `dtype`; integers keep their type."""
        moved = Split(self, name=self.name)
        if self.tensors is not None:
            moved.tensors = placed(self.tensors, device, dtype)
        else:
            moved._device, moved._dtype = device or self._device, dtype or self._dtype
        return moved

    def subset(self, indices: Tensor) -> Split:
        """Return the examples at `indices` (int64, CPU), in that order.

        Raises:
            LastbitError: they are a stream's, and not its first ones.
        """
        part = Split(self, name=self.name)
        if self.tensors is not None:
            part.tensors = self.batch(indices)
            return part
        if self.is_stream and not torch.equal(indices, torch.arange(len(indices))):
            raise LastbitError(f"{self.name}: a stream is read in its own order: only its first examples are a part")
        part._rows = self._at(indices)
        return part


class _Gathering:
    """A feed of batches that are made when they are asked for."""

    def __init__(self, split: Split, batches: Sequence[Tensor], draws: Draws) -> None:
        self._split, self._batches, self._draws = split, batches, draws

    def take(self, number: int) -> Any:
        return self._split.batch(self._batches[number], self._draws)


class _Moving:
    """A feed of batches that are read elsewhere, and moved to where the split's are wanted."""

    def __init__(self, feed: Feed, moved: Callable[[Any], Any]) -> None:
        self._feed, self._moved = feed, moved

    def take(self, number: int) -> Any:
        return self._moved(self._feed.take(number))


Source: TypeAlias = Split | Tensor | Sequence[Any] | Mapping[str, Any] | data.Dataset[Any] | data.DataLoader[Any]
"""What a `Split` is made from."""


def read_alike(splits: Mapping[str, Split], collate: Collate | None, workers: int) -> dict[str, Split]:
    """Return the splits of a task with its collate function and, where they are read by index, one loader for all.

    Args:
        splits: by name.
        collate: makes a batch of a list of examples; None: that of each.
        workers: processes that read ahead.

    Raises:
        LastbitError: there is a collate function, and no dataset or one with a collate function of its own.
    """
    if collate is not None and not any(split.is_read for split in splits.values()):
        raise LastbitError(
            f"collate puts together the examples of a Dataset, but {' and '.join(splits)} are tensors: leave it out"
        )
    made = {name: Split(split, name=name) for name, split in splits.items()}
    readers = {}
    for name, split in made.items():
        if split._reader is not None and collate is not None:
            if split._reader.collate not in (data.default_collate, collate):
                raise LastbitError(f"{name}: give collate= or the collate_fn of the DataLoader, not both")
            split._reader = split._reader.changed(name, collate)
        if isinstance(split._reader, Reader):
            readers[name] = split._reader
    there = next((split._loader for split in made.values() if split._loader is not None), None)
    if there is None or not there.serves(readers, workers):
        there = Loader(readers, workers) if readers and workers else None
    for split in made.values():
        split._loader = there
    return made


def _is_dataset(source: Any) -> bool:
    if isinstance(source, data.Dataset):
        return True
    held = isinstance(source, Tensor | np.ndarray | Sequence | Mapping)
    return not held and hasattr(source, "__getitem__") and hasattr(source, "__len__")


def _check_length(dataset: Any, name: str) -> None:
    """Refuse a dataset whose length is not known."""
    try:
        length = len(dataset)
    except (TypeError, NotImplementedError):
        length = None
    if length is None:
        raise LastbitError(
            f"{name}: {type(dataset).__name__} has no length, so that the steps of an epoch are not known: write a "
            "__len__ that returns how many examples it has"
        )


def _check_loader(loader: data.DataLoader[Any], name: str) -> None:
    """Refuse a loader that draws in a way that the study's own order would silently replace."""
    sampler, batches = loader.sampler, loader.batch_sampler
    replaced = None
    if batches is None:
        raise LastbitError(f"{name}: a DataLoader with batch_size=None makes no batches: pass its dataset")
    if isinstance(loader.dataset, data.IterableDataset):
        return
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
    """Return a nesting of tensors that agree in their first axis, detached; arrays as tensors on their memory."""
    leaves = leaves_of(value)
    if not leaves or not all(isinstance(leaf, Tensor | np.ndarray) for leaf in leaves):
        raise LastbitError(
            f"{name} that is not a Dataset, DataLoader or Split must be tensors or arrays, as (inputs, targets), "
            f"got {arrived(value)}"
        )
    if any(leaf.ndim == 0 or len(leaf) != len(leaves[0]) for leaf in leaves):
        shapes = [str(tuple(leaf.shape)) for leaf in leaves]
        said = f"inputs {shapes[0]} and targets {shapes[1]}" if len(shapes) == 2 else f"tensors {', '.join(shapes)}"
        raise LastbitError(f"{name}: {said} must agree in their first axis, one row per example")
    tensors = mapped(tuple(value) if isinstance(value, list) else value, partial(_of_array, name), np.ndarray)
    for part in tensors_of(tensors):
        if part.is_meta or part.layout is not torch.strided:
            kind = "on the meta device" if part.is_meta else f"of layout {part.layout}"
            raise LastbitError(f"{name}: a tensor {kind}: give dense ones that hold values")
    return mapped(tensors, Tensor.detach)


def _of_array(name: str, array: np.ndarray[Any, Any]) -> Tensor:
    try:
        return tensor_of(array)
    except (TypeError, ValueError) as error:
        said = str(error).partition(".")[0]
        raise LastbitError(
            f"{name}: an array of {array.dtype} makes no tensor ({said}): give numbers, as array.astype('float32')"
        ) from None
