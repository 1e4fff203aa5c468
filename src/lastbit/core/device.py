"""Which device a name means here."""

from __future__ import annotations

import torch

from lastbit.core.errors import LastbitError

__all__ = ["resolve_device"]


def resolve_device(name: str) -> torch.device:
    """Return the device that `auto`, `cpu`, `cuda` or `cuda:N` means here.

    Raises:
        LastbitError: CUDA is asked for and there is none, or the name is not understood.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = name.split(":")[0]
    if kind not in ("cpu", "cuda"):
        raise LastbitError(f"unknown --device {name!r}: choose one of auto, cpu, cuda, cuda:N")
    if kind == "cuda" and not torch.cuda.is_available():
        raise LastbitError("--device cuda: torch sees no CUDA device here; use --device cpu, or auto")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise LastbitError(f"unknown --device {name!r}: choose one of auto, cpu, cuda, cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise LastbitError(f"--device {name}: CUDA devices are counted from 0, up to {last} here")
    return device
