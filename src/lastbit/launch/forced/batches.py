"""What data loaders gave since the last step, as CRC-32s that do not depend on how it was cut into batches."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from zlib import crc32

import torch
from torch import Tensor

from lastbit.launch.site.loaders import hear_batches

__all__ = ["Batches"]


class Batches:
    """Sees every batch of every `DataLoader` of this process."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Any]] = {}

    def begin(self) -> None:
        """See them from now on."""
        import_module("torch.utils.data.dataloader")
        hear_batches(self._heard)

    def _heard(self, batch: Any, frame: Any) -> None:
        try:
            with torch._C._DisableTorchDispatch(), torch.no_grad():
                self._take(batch, "batch")
        except Exception:  # what cannot be read is not compared
            self._parts["batch"] = ["not readable", 0, 0]

    def _take(self, value: Any, path: str) -> None:
        if isinstance(value, Tensor):
            if value.layout is torch.strided:
                held = value.detach().cpu().contiguous()
                rows = held.shape[0] if held.dim() else 1
                self._add(path, " x ".join(map(str, held.shape[1:])) or "1", rows, held.reshape(-1).view(torch.uint8))
        elif isinstance(value, dict):
            for key, one in value.items():
                self._take(one, f"{path}.{key}")
        elif isinstance(value, (list, tuple)):
            for place, one in enumerate(value):
                # Text comes as a list of as many as there are examples.
                self._take(one, path if isinstance(one, (int, float, str)) else f"{path}.{place}")
        elif isinstance(value, (int, float, str)):
            self._add(path, "text", 1, repr(value).encode("utf-8", "replace"))

    def _add(self, path: str, shape: str, rows: int, held: Any) -> None:
        part = self._parts.setdefault(path, [shape, 0, 0])
        part[1] += rows
        part[2] = crc32(held.numpy().data if isinstance(held, Tensor) else held, part[2])

    def taken(self) -> dict[str, str]:
        """Return what came since this was asked last, by its place in a batch."""
        parts, self._parts = self._parts, {}
        return {path: f"{rows} of {shape}, crc32 {crc:08x}" for path, (shape, rows, crc) in parts.items()}
