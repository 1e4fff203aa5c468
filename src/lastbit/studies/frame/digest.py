"""A run as a digest: equal for equal trainings alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["digest_of"]


def digest_of(arrays: Mapping[str, np.ndarray[Any, Any]], value: float) -> str:
    """Return a digest of what a run computed: its weights where they are recorded in every run, and its result.

    How densely a command is recorded depends on the time it takes: the steps that are powers of two and the last step
    of each optimizer are always there.
    """
    digest = hashlib.blake2b(np.float64(value).tobytes(), digest_size=16)
    for name in sorted(arrays):
        if not name.startswith(("record_", "sketch_")):
            array = np.ascontiguousarray(arrays[name])
            digest.update(f"\0{name}\0{array.dtype}{array.shape}".encode() + array.tobytes())
    if "record_key" in arrays:
        keys, sums = arrays["record_key"], arrays["record_checksum"]
        last: dict[tuple[int, int], int] = {}
        for process, optimizer, step in keys.tolist():
            last[process, optimizer] = max(step, last.get((process, optimizer), 0))
        for (process, optimizer, step), checksum in zip(keys.tolist(), sums.tolist(), strict=True):
            if step & (step - 1) == 0 or step == last[process, optimizer]:
                digest.update(f"\0{process} {optimizer} {step} {checksum}".encode())
    return digest.hexdigest()
