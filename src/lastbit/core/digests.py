"""What tells tensors apart to the bit without keeping them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["DIGEST_BYTES", "sha256_of"]

DIGEST_BYTES = hashlib.sha256().digest_size


def sha256_of(tensors: Mapping[str, Tensor]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the SHA-256 digest of the bits of each tensor, uint8 (T, 32), in the order of the mapping.

    Elements are read in their own format, in the order of the tensor's indices: -0 and +0 differ, and so do two NaNs
    with other bits. Names, formats and shapes are no part of it.

    Example:
        >>> one = {"w": torch.tensor([1.0, 0.0])}
        >>> two = {"w": torch.tensor([1.0, -0.0])}
        >>> sha256_of(one).shape, bool((sha256_of(one) == sha256_of(two)).all())
        ((1, 32), False)
    """
    found = np.empty((len(tensors), DIGEST_BYTES), dtype=np.uint8)
    for place, tensor in enumerate(tensors.values()):
        # One after the other: no more than one tensor is copied from an accelerator at a time.
        flat = tensor.detach().reshape(-1).contiguous().cpu()
        found[place] = np.frombuffer(hashlib.sha256(flat.view(torch.uint8).numpy().data).digest(), dtype=np.uint8)
    return found
