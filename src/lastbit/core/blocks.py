"""Blocks of numbers that stay in the processor's cache, and the memory that the work on one leaves to the next."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Scratch", "block_elements"]


def block_elements(device: torch.device) -> int:
    """Return how many elements of a tensor on `device` to take at a time.

    On a processor the arrays of so many numbers that an operation reads and writes fit into a second-level cache of
    1 MB, and its call costs little beside its work. An accelerator, whose memory is fast and whose calls are slow,
    takes more.
    """
    return 1 << 16 if device.type == "cpu" else 1 << 22


class Scratch:
    """Vectors that are lent to one block and then to the next, so that they stay in the cache and are not made anew.

    Example:
        >>> scratch, block = Scratch(), torch.ones(4)
        >>> first = scratch.like(block)
        >>> scratch.reset()
        >>> scratch.like(block).data_ptr() == first.data_ptr()
        True
    """

    def __init__(self) -> None:
        self._held: dict[tuple[torch.dtype, torch.device, int], Tensor] = {}
        self._lent: dict[tuple[torch.dtype, torch.device], int] = {}

    def mark(self) -> dict[tuple[torch.dtype, torch.device], int]:
        """Return what `reset` needs to take back only what is lent from here on."""
        return dict(self._lent)

    def reset(self, mark: dict[tuple[torch.dtype, torch.device], int] | None = None) -> None:
        """Take back what was lent, all of it or since a mark."""
        self._lent = dict(mark or {})

    def like(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Lend a vector as long as `x`, by default of its format, with anything in it."""
        kind, size = (dtype or x.dtype, x.device), x.numel()
        place = self._lent.get(kind, 0)
        self._lent[kind] = place + 1
        held = self._held.get((*kind, place))
        if held is None or held.numel() < size:
            held = self._held[*kind, place] = torch.empty(size, dtype=kind[0], device=x.device)
        return held if held.numel() == size else held[:size]

    def copy(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Lend a copy of `x`, flat."""
        return self.like(x, dtype).copy_(x)
