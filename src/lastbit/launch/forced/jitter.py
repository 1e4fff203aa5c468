"""Weights moved at random by about their last bit."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["Jitter"]


class Jitter:
    """Draws w (1 + size xi), with xi uniform on [-1, 1].

    Args:
        size: None for the spacing of w's format at 1, which is 2^-23 of float32.
        seed: of the draws.
    """

    def __init__(self, size: float | None, seed: int) -> None:
        self._size = size
        self._random = np.random.Generator(np.random.PCG64([0x1A57B17, seed]))

    def moved(self, weights: Tensor) -> Tensor:
        """Return weights that are moved, rounded to their format."""
        size = torch.finfo(weights.dtype).eps if self._size is None else self._size
        # Drawn with 24 bits: no more of a draw is left in a move by a bit or two.
        drawn = torch.from_numpy(self._random.random(weights.numel(), dtype=np.float32)).double()
        return (weights.double() * (1 + size * (2 * drawn - 1))).to(weights.dtype)
