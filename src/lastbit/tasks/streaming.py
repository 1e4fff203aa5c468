"""Examples that come in an order of their own: an `IterableDataset` of known length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch

from lastbit.core import generators
from lastbit.core.batches import tensors_of
from lastbit.core.errors import LastbitError
from lastbit.core.generators import LentGenerators
from lastbit.core.threads import threads
from lastbit.core.words import plural
from lastbit.tasks.reading import Collate, Draws, collated, named

__all__ = ["Stream", "StreamFeed"]


class Stream:
    """An iterable dataset: example `i` of an epoch is the i-th that it gives after `iter()`.

    What it draws while it is read, for a shuffle of its own say, comes from the global generators, which are seeded at
    the start of every epoch.

    Args:
        dataset: has `__iter__` and `__len__`.
        collate: makes a batch of a list of examples.
        name: what to call it in messages.
    """

    def __init__(self, dataset: Any, collate: Collate, *, name: str) -> None:
        self.dataset = dataset
        self.collate = collate
        self.name = name

    def changed(self, name: str, collate: Collate | None = None) -> Stream:
        """Return it under another name, or with another collate function; itself where nothing differs."""
        collate = collate or self.collate
        same = name == self.name and collate is self.collate
        return self if same else Stream(self.dataset, collate, name=name)

    def read(self, indices: Sequence[int], draws: Draws) -> Any:
        """Return the examples at `indices` as a batch, which reads all of those before the last of them."""
        return StreamFeed(self, [torch.as_tensor(indices)], draws).take(0)

    @cached_property
    def example_bytes(self) -> int:
        """Size of the first example in a batch."""
        return sum(tensor.nbytes for tensor in tensors_of(self.read([0], Draws())))


class StreamFeed:
    """The batches of one epoch of a stream. One that does not follow the last reads from the start again.

    Args:
        stream: what is read.
        batches: indices of every batch; in the order of the stream where it should be read once.
        draws: what its random draws follow from.
    """

    def __init__(self, stream: Stream, batches: Sequence[torch.Tensor], draws: Draws) -> None:
        self._stream, self._batches, self._draws = stream, batches, draws
        self._begin()

    def _begin(self) -> None:
        self._generators = LentGenerators(self._draws.of("stream"))
        self._examples: Iterator[Any] | None = None
        self._position = 0

    def take(self, number: int) -> Any:
        """Return a batch.

        Raises:
            UnreadableExample: the stream raises.
            LastbitError: it ends before its length, or the examples make no batch.
        """
        wanted = self._batches[number].tolist()
        found = self._read(wanted)
        drawn = generators.save()
        try:
            with threads(1):
                return collated(
                    [found[i] for i in wanted], wanted, self._draws, self._stream.collate, self._stream.name
                )
        finally:
            generators.restore(drawn)

    def _read(self, wanted: Sequence[int]) -> dict[int, Any]:
        """Return the examples at `wanted`, read in the stream's order."""
        if min(wanted) < self._position:
            self._begin()
        kept, name = set(wanted), self._stream.name
        found: dict[int, Any] = {}
        with self._generators.active(), threads(1):
            with named(f"{name}, at its start"):
                self._examples = self._examples if self._examples is not None else iter(self._stream.dataset)
            while self._position <= max(wanted):
                with named(f"{name} example {self._position}"):
                    example = next(self._examples, self)
                if example is self:
                    raise LastbitError(
                        f"{name}: {type(self._stream.dataset).__name__} ended after "
                        f"{plural(self._position, 'example')} of {len(self._stream.dataset):,}: let __len__ return how "
                        "many it gives"
                    )
                if self._position in kept:
                    found[self._position] = example
                self._position += 1
        return found
