"""Weights moved at random by about their last bit."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["Jitter"]


class Jitter:
    """Draws w (1 + scale eps xi), with xi uniform on [-1, 1] and eps the spacing of w's format at 1 (2^-23: float32).

    Args:
        scale: in units of eps: 1 for one bit, 32 for the 2^-18 that tells formats apart.
        seed: of the draws.
    """

    def __init__(self, scale: float, seed: int) -> None:
        self._scale = scale
        self._random = np.random.Generator(np.random.PCG64([0x1A57B17, seed]))

    def moved(self, weights: Tensor, *, eps: float | None = None) -> Tensor:
        """Return weights that are moved, rounded to their format.

        Args:
            weights: a flat vector.
            eps: as above; that of the weights' own format by default.
        """
        spacing = torch.finfo(weights.dtype).eps if eps is None else eps
        # Drawn with 24 bits: no more of a draw is left in a move by a bit or two.
        drawn = torch.from_numpy(self._random.random(weights.numel(), dtype=np.float32)).double()
        return (weights.double() * (1 + self._scale * spacing * (2 * drawn - 1))).to(weights.dtype)
