"""Examples of different shapes in one batch: padded to the largest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import data

from lastbit.core.batches import arrived
from lastbit.core.errors import LastbitError

__all__ = ["padded"]

_WRITE = "write lastbit.padded(0), lastbit.padded({'labels': -100}) by entry, or lastbit.padded((0, -100)) by position"


@dataclass(frozen=True)
class _Padded:
    """Pads and stacks a list of examples; a class, so that it can be sent to another process."""

    values: float | Mapping[Any, float] | Sequence[float]
    mask: str | None

    def __call__(self, examples: list[Any]) -> Any:
        first = examples[0]
        if not isinstance(first, Mapping):
            if self.mask is not None:
                raise LastbitError(
                    f"padded(mask={self.mask!r}) adds an entry to examples that are dictionaries, got {arrived(first)}"
                )
            return self._stacked(examples, self.values)
        if self.mask in first:
            raise LastbitError(f"padded(mask={self.mask!r}): the examples have that entry themselves: leave mask out")
        batch = self._stacked(examples, self.values)
        if self.mask is not None:
            batch[self.mask] = _mask([dict(example) for example in examples])
        return batch

    def _stacked(self, parts: list[Any], value: Any) -> Any:
        """Return the parts of all examples as one."""
        first = parts[0]
        if isinstance(first, Mapping):
            return {key: self._stacked([part[key] for part in parts], _value(value, key)) for key in first}
        if isinstance(first, tuple) and not hasattr(first, "_fields"):
            return tuple(
                self._stacked(list(each), _value(value, number)) for number, each in enumerate(zip(*parts, strict=True))
            )
        if isinstance(first, str | bytes):
            return parts
        return _padded_tensors([_tensor(part) for part in parts], value)


def padded(value: float | Mapping[Any, float] | Sequence[float] = 0, *, mask: str | None = None) -> _Padded:
    """Return a collate function that pads examples of different shapes to the largest of their batch.

    Each tensor, array, list of numbers or number of an example is padded at the end of every axis, and stacked with
    those of the other examples, `(L_i, ...)` to `(B, max L_i, ...)`. Examples may be tuples or dictionaries of them.

    Args:
        value: what to pad with: one for all, or a mapping of them by entry, or a tuple by position; 0 where none is
            given.
        mask: name of an entry to add to examples that are dictionaries: 1 where the first entry has a value of the
            example's own along its first axis and 0 where it is padded, `(B, max L_i)`, as the `attention_mask` of
            transformers.

    Returns:
        For `Task(collate=...)` or a `DataLoader`.

    Raises:
        LastbitError: `value` is no number, mapping or sequence of numbers.

    Example:
        >>> tokens, labels = padded()([(torch.tensor([1, 2, 3]), 0), (torch.tensor([4]), 1)])
        >>> tokens.tolist(), labels.tolist()
        ([[1, 2, 3], [4, 0, 0]], [0, 1])
    """
    given = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, Sequence) else [value]
    if isinstance(value, str) or not all(isinstance(one, int | float) for one in given):
        raise LastbitError(f"padded takes what to pad with, got {value!r}: {_WRITE}")
    if mask is not None and not isinstance(mask, str):
        raise LastbitError(f"mask must be the name of an entry, got {mask!r}: write mask='attention_mask'")
    return _Padded(value, mask)


def _value(values: Any, key: Any) -> Any:
    """Return what a part of an example is padded with."""
    if isinstance(values, Mapping):
        return values.get(key, 0)
    if isinstance(values, Sequence):
        return values[key] if isinstance(key, int) and key < len(values) else 0
    return values


def _tensor(value: Any) -> Tensor:
    if isinstance(value, np.ndarray) and not value.flags.writeable:
        value = np.array(value)
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise LastbitError(
            f"padded takes tensors, arrays, numbers and lists of numbers, got {arrived(value)}"
        ) from None


def _padded_tensors(tensors: list[Tensor], value: Any) -> Tensor:
    """Return `(B, ...)` of tensors `(...)` of as many axes each."""
    if len({tensor.ndim for tensor in tensors}) > 1:
        counts = sorted({tensor.ndim for tensor in tensors})
        raise LastbitError(f"padded takes examples of as many axes each, got {counts[0]} and {counts[-1]}")
    if len({tensor.shape for tensor in tensors}) == 1:
        stacked: Tensor = data.default_collate(tensors)
        return stacked
    fill = value if isinstance(value, int | float) else 0
    shape = [max(sizes) for sizes in zip(*(tensor.shape for tensor in tensors), strict=True)]
    whole = tensors[0].new_full((len(tensors), *shape), fill)
    for row, tensor in zip(whole, tensors, strict=True):
        row[tuple(slice(size) for size in tensor.shape)] = tensor
    return whole


def _mask(examples: list[dict[Any, Any]]) -> Tensor:
    """Return 1 where the first entry of an example has values of its own, `(B, L)` int64."""
    lengths = [len(next(iter(example.values()))) for example in examples]
    return (torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)).long()
