"""The process-wide generators as bytes that another process can be put onto."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from lastbit.core import generators

__all__ = ["Generators"]


class Generators:
    """Those of this process, and what was drawn from each since a moment at which they stood alike in all runs.

    Where nothing is drawn it does not matter where a generator stands: one that nobody seeds stands elsewhere in every
    process.
    """

    def __init__(self) -> None:
        self._stood: dict[str, tuple[bytes, str]] = {}

    def said(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Return where they stand, as bytes and as what is no number; it is the moment from now on."""
        self._stood = _plain(generators.save(*_devices()))
        tensors = {
            name: torch.frombuffer(bytearray(held), dtype=torch.uint8) for name, (held, _) in self._stood.items()
        }
        return tensors, {name: rest for name, (_, rest) in self._stood.items()}

    def restore(self, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
        """Put them where those of another process stood that said so; it is the moment from now on."""
        state = generators.save(*_devices())
        mine = _plain(state)
        there = {name: (tensors[name].numpy().tobytes(), about[name]) for name in mine.keys() & tensors.keys()}
        if any(mine[name] != held for name, held in there.items()):
            generators.restore(state | {name: _state(name, *held) for name, held in there.items()}, *_devices())
        self._stood = mine | there

    def drawn(self) -> dict[str, str]:
        """Return where each stands now, in words; nothing where no moment is known."""
        now = _plain(generators.save(*_devices())) if self._stood else {}
        return {
            name: "nothing was drawn"
            if held == self._stood.get(name)
            else f"stands at crc32 {crc32(held[0], crc32(held[1].encode())):08x}"
            for name, held in now.items()
        }


def _devices() -> list[torch.device]:
    used = torch.cuda.device_count() if torch.cuda.is_initialized() else 0  # type: ignore[no-untyped-call]
    return [torch.device("cuda", index) for index in range(used)]


def _plain(state: Mapping[str, Any]) -> dict[str, tuple[bytes, str]]:
    """Return states as bytes, and what is no number in them."""
    found = {}
    for name, held in state.items():
        if name == "numpy":
            kind, words, place, has_gauss, gauss = held
            found[name] = (np.asarray(words, np.uint32).tobytes(), f"{kind} {place} {has_gauss} {float(gauss).hex()}")
        elif name == "python":
            version, numbers, left = held
            found[name] = (np.array(numbers, np.uint32).tobytes(), f"{version} {'' if left is None else left.hex()}")
        else:
            found[name] = (held.numpy().tobytes(), "")
    return found


def _state(name: str, held: bytes, rest: str) -> Any:
    """Return the state of a generator that was made plain."""
    if name == "numpy":
        kind, place, has_gauss, gauss = rest.split(" ")
        return kind, np.frombuffer(held, np.uint32), int(place), int(has_gauss), float.fromhex(gauss)
    if name == "python":
        version, left = rest.split(" ")
        return int(version), tuple(np.frombuffer(held, np.uint32).tolist()), float.fromhex(left) if left else None
    return torch.frombuffer(bytearray(held), dtype=torch.uint8)
