"""A batch of a map-style dataset, read item by item, each under generators that are seeded for it alone.

What an example is then follows from the dataset, the run's seed, the epoch and the example's index: not from which
process reads it, what was read before, or where in an epoch a run goes on.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils import data

from lastbit.core import generators
from lastbit.core.batches import arrived, mapped, tensors_of
from lastbit.core.errors import LastbitError
from lastbit.core.seeds import stream_seed
from lastbit.core.threads import threads
from lastbit.tasks.mapped import Pages, files_kept_by, pickled
from lastbit.tasks.sources import is_installed

__all__ = ["Collate", "Draws", "Reader", "UnreadableExample", "collated", "named"]

Collate = Callable[[list[Any]], Any]
"""Makes a batch of a list of examples."""

_ALIGNED = 64
"""Bytes that torch aligns memory to. A matrix product may round otherwise on memory that is aligned less."""


class UnreadableExample(Exception):
    """An example could not be read: the message names it, what it raised and the line of the user's own."""


@dataclass(frozen=True)
class Draws:
    """What the random draws of an example follow from, beside its index."""

    seed: int = 0
    epoch: int = 0

    def of(self, *name: str | int) -> int:
        """Return the seed of one part of an epoch."""
        return stream_seed(self.seed, *name, self.epoch)


class Reader:
    """Reads batches of a map-style dataset. A batch is the same in whichever process it is read.

    The global generators of Python, NumPy and torch are seeded for each example and for the collate function, and put
    back afterwards; one thread computes. Examples are read all at once (`__getitems__`) as long as none of them draws:
    from the first draw on, each is read alone.

    Args:
        dataset: has `__getitem__`.
        collate: makes a batch of a list of examples.
        name: what to call it in messages.
    """

    def __init__(self, dataset: Any, collate: Collate, *, name: str) -> None:
        self.dataset = dataset
        self.collate = collate
        self.name = name
        self._pages = Pages(files_kept_by(dataset))
        self._draws = False
        """Whether an example was seen to draw."""

    def __getstate__(self) -> dict[str, Any]:
        """Return what makes the same reader in another process."""
        return {"parts": pickled((self.dataset, self.collate)), "name": self.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(*pickle.loads(state["parts"]), name=state["name"])  # type: ignore[misc]  # noqa: S301

    def changed(self, name: str, collate: Collate | None = None) -> Reader:
        """Return it under another name, or with another collate function; itself where nothing differs."""
        collate = collate or self.collate
        same = name == self.name and collate is self.collate
        return self if same else Reader(self.dataset, collate, name=name)

    def read(self, indices: Sequence[int], draws: Draws) -> Any:
        """Return the examples at `indices` as a batch.

        Raises:
            UnreadableExample: the dataset, or the user's collate function, raises.
            LastbitError: the examples make no batch.
        """
        found = generators.save()
        try:
            with threads(1):
                items = self._together(indices, draws)
                if items is None:
                    items = [self._one(index, draws) for index in indices]
                return collated(items, indices, draws, self.collate, self.name)
        finally:
            generators.restore(found)
            # How much of a file an example takes is not known here.
            self._pages.give_back()

    @cached_property
    def example_bytes(self) -> int:
        """Size of the first example in a batch."""
        return sum(tensor.nbytes for tensor in tensors_of(self.read([0], Draws())))

    def _together(self, indices: Sequence[int], draws: Draws) -> list[Any] | None:
        """Return the examples if none of them draws, else None."""
        if self._draws:
            return None
        generators.seed_all(draws.of("examples"))
        before = generators.save()
        fetch = getattr(self.dataset, "__getitems__", None)
        items = [self._item(index) for index in indices] if fetch is None else self._fetched(fetch, indices)
        self._draws = not generators.same(before, generators.save())
        return None if self._draws else items

    def _fetched(self, fetch: Callable[[list[int]], Any], indices: Sequence[int]) -> list[Any]:
        try:
            with named(f"examples {_listed(indices)} of {self.name}"):
                return list(fetch(list(indices)))
        except UnreadableExample:
            for index in indices:  # the one that is to blame says so itself
                self._item(index)
            raise

    def _one(self, index: int, draws: Draws) -> Any:
        generators.seed_all(draws.of("example", index))
        return self._item(index)

    def _item(self, index: int) -> Any:
        with named(f"{self.name} example {index}"):
            return self.dataset[index]


def collated(items: list[Any], indices: Sequence[int], draws: Draws, collate: Collate, name: str) -> Any:
    """Return a batch of new tensors, made under generators that are seeded for these examples.

    Raises:
        UnreadableExample: a collate function of the user's raises.
        LastbitError: the examples make no batch.
    """
    generators.seed_all(draws.of("collate", np.asarray(indices, dtype=np.int64).tobytes().hex()))
    if collate is data.default_collate:
        try:
            batch = collate([_writable(item) for item in items])
        except (TypeError, RuntimeError) as error:
            raise LastbitError(_no_batch(items, indices, name, error)) from None
    else:
        with named(f"examples {_listed(indices)} of {name}, in collate"):
            batch = collate(items)
    if not tensors_of(batch):
        raise LastbitError(f"{name}: a collated batch must hold tensors, got {arrived(batch)}")
    return mapped(batch, _own)


def _own(tensor: Tensor) -> Tensor:
    """Return a tensor as torch would have allocated it, without a gradient's history."""
    tensor = tensor.detach()
    return tensor if tensor.data_ptr() % _ALIGNED == 0 else tensor.clone()


def _writable(value: Any) -> Any:
    """Return an example with its read-only arrays copied, of which torch would warn."""
    if isinstance(value, np.ndarray):
        return value if value.flags.writeable else np.array(value)
    if isinstance(value, Mapping) and type(value) is dict:
        return {key: _writable(part) for key, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_writable(part) for part in value)
    return value


@contextmanager
def named(what: str) -> Iterator[None]:
    """Report what the user's own code raises as one line that says what was read, and where in that code."""
    try:
        yield
    except LastbitError:
        raise
    except (Exception, SystemExit) as error:
        said = " ".join(str(error).split())
        raise UnreadableExample(f"{what}: {type(error).__name__}: {said}{_place(error)}") from error


def _place(error: BaseException) -> str:
    """Return the last line of the user's own that led to an error, where there is one."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not is_installed(Path(frame.filename))]
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""


def _listed(indices: Sequence[int]) -> str:
    shown = ", ".join(map(str, indices[:4]))
    return shown + ", ..." if len(indices) > 4 else shown


def _no_batch(items: list[Any], indices: Sequence[int], name: str, error: Exception) -> str:
    """Say why examples cannot be stacked, and what to write."""
    leaves = [_leaves("", item) for item in items]
    for index, found in zip(indices, leaves, strict=True):
        for where, leaf in found.items():
            if not isinstance(leaf, Tensor | np.ndarray | np.generic | int | float | str | bytes):
                return (
                    f"{name}: example {index} holds {_a(type(leaf))}{where}: return tensors, arrays or numbers "
                    "(torchvision.transforms.ToTensor() makes one of an image), or write collate= in the Task"
                )
            if isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind not in "biufc":
                return f"{name}: example {index} holds an array of {leaf.dtype}{where}: give one of numbers"
    first = leaves[0]
    for index, found in zip(indices, leaves, strict=True):
        if found.keys() != first.keys():
            return (
                f"{name}: examples {indices[0]} and {index} have {len(first)} and {len(found)} parts: give all the "
                "same, return arrays in place of lists, or write collate= in the Task"
            )
        for where, leaf in found.items():
            if np.shape(leaf) != np.shape(first[where]):
                return (
                    f"{name}: examples {indices[0]} and {index} differ in shape{where}, {tuple(np.shape(first[where]))}"
                    f" and {tuple(np.shape(leaf))}: write collate=lastbit.padded() in the Task, which pads them, or a "
                    "collate function of your own"
                )
    said = " ".join(str(error).split())[:200]
    return f"{name}: examples {_listed(indices)} make no batch ({said}): write collate= in the Task"


def _leaves(where: str, value: Any) -> dict[str, Any]:
    """Return what a nesting holds, by where it is, in words that follow what it is."""
    if isinstance(value, Mapping):
        parts = [(f" at {key!r}{where}", part) for key, part in value.items()]
    elif isinstance(value, tuple | list):
        parts = [(f" at {number}{where}", part) for number, part in enumerate(value)]
    else:
        return {where: value}
    return {place: leaf for where_, part in parts for place, leaf in _leaves(where_, part).items()}


def _a(kind: type) -> str:
    if kind is type(None):
        return "None"
    own = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return f"{'an' if own[0] in 'aeiouAEIOU' else 'a'} {own}"
