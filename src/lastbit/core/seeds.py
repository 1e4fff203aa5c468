"""Independent random streams, named by what they decide.

Every random decision of a run draws from its own stream, `stream_seed(seed, "order", epoch)` and the like, so that
two runs with the same seed make the same decisions, whatever else they do, and one decision can be varied alone.
"""

from __future__ import annotations

import hashlib
import operator

import numpy as np
import torch

__all__ = ["numpy_stream", "stream_seed", "torch_stream"]


def stream_seed(seed: int, *name: str | int) -> int:
    """Return the 63-bit seed of the stream `name` of `seed`.

    The seed is the first 63 bits of BLAKE2b over the parts, so streams are independent for all practical purposes and
    the same on every machine. NumPy integers count as plain integers; text never equals a number.

    Example:
        >>> stream_seed(0, "order", 1) == stream_seed(0, "order", 1)
        True
        >>> stream_seed(0, "order", 1) == stream_seed(0, "order", 2)
        False
    """
    text = "\x1f".join(_spelled(part) for part in (operator.index(seed), *name))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def _spelled(part: str | int) -> str:
    if isinstance(part, str):
        # The doubled separator cannot be mistaken for the end of a part.
        return "str:" + part.replace("\x1f", "\x1f\x1f")
    return f"int:{operator.index(part)}"


def torch_stream(seed: int, *name: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a torch generator at the start of the stream `name` of `seed`."""
    generator = torch.Generator(device=device)
    generator.manual_seed(stream_seed(seed, *name))
    return generator


def numpy_stream(seed: int, *name: str | int) -> np.random.Generator:
    """Return a NumPy generator at the start of the stream `name` of `seed`."""
    return np.random.default_rng(stream_seed(seed, *name))
