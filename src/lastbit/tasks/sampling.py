"""In which batches an epoch is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from itertools import islice
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor

from lastbit.core.errors import LastbitError

__all__ = ["Sampler", "batches_in_order", "batches_of", "count_batches"]

_MOST = 10_000_000
"""Draws of an epoch beyond ten times the examples: a sampler of more has no end."""

Sampler: TypeAlias = Callable[[Generator], Iterable[Any]]
"""Makes the indices of the examples of one epoch, or lists of them that are its batches, from a seeded generator."""


def batches_of(
    examples: int, size: int, generator: Generator, *, sampler: Sampler | None = None, drop_last: bool = True
) -> list[Tensor]:
    """Return the indices (int64, CPU) of every batch of an epoch.

    Args:
        examples: number of training examples; every one is drawn once, in random order, where there is no sampler.
        size: of a batch.
        generator: what the order is drawn from.
        sampler: draws the examples in place of that.
        drop_last: whether a last batch that is not full is left out.

    Raises:
        LastbitError: the sampler gives something else than indices of examples, or lists of those.
    """
    if sampler is None:
        order = torch.randperm(examples, generator=generator)
    else:
        drawn = list(islice(sampler(generator), 10 * examples + _MOST))
        if len(drawn) == 10 * examples + _MOST:
            raise LastbitError(
                "the sampler does not end: give the indices of one epoch, as itertools.islice(..., 1000)"
            )
        if any(isinstance(one, Sized) and not (isinstance(one, Tensor) and one.ndim == 0) for one in drawn):
            return [_indices(one, examples) for one in drawn]
        order = _indices(drawn, examples)
    return _cut(order, size, drop_last)


def batches_in_order(examples: int, size: int, *, drop_last: bool = True) -> list[Tensor]:
    """Return the indices (int64, CPU) of every batch where the examples are taken as they come."""
    return _cut(torch.arange(examples), size, drop_last)


def _cut(order: Tensor, size: int, drop_last: bool) -> list[Tensor]:
    batches = list(torch.split(order, size))
    return batches[:-1] if drop_last and batches and len(batches[-1]) < size else batches


def _indices(drawn: Any, examples: int) -> Tensor:
    try:
        indices = torch.as_tensor(drawn, dtype=torch.float64 if not len(drawn) else None)
    except (TypeError, ValueError, RuntimeError):
        indices = None
    if indices is None or indices.ndim != 1 or indices.is_floating_point() or not len(indices):
        raise LastbitError("the sampler must give indices of examples, or lists of indices that are the batches")
    if int(indices.min()) < 0 or int(indices.max()) >= examples:
        raise LastbitError(
            f"the sampler draws example {int(indices.max() if int(indices.min()) >= 0 else indices.min())}, but they "
            f"count from 0 to {examples - 1}"
        )
    return indices.to(torch.int64)


def count_batches(examples: int, size: int, *, sampler: Sampler | None = None, drop_last: bool = True) -> int:
    """Return the number of batches of an epoch; a sampler is asked for one."""
    if sampler is not None:
        return len(batches_of(examples, size, Generator().manual_seed(0), sampler=sampler, drop_last=drop_last))
    return examples // size if drop_last else -(-examples // size)
