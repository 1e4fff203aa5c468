"""How many numbers are worked on at a time, so that what is computed of them stays in the processor's cache."""

from __future__ import annotations

import torch

__all__ = ["block_elements"]


def block_elements(device: torch.device) -> int:
    """Return how many elements of a tensor on `device` to take at a time.

    On a processor some eight arrays of so many numbers fit into a second-level cache of 1 MB, and the call of an
    operation costs little beside its work. An accelerator, whose memory is fast and whose calls are slow, takes more.
    """
    return 1 << 15 if device.type == "cpu" else 1 << 22
