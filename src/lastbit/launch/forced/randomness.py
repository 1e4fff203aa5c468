"""The states of the process-wide generators (torch on the CPU and CUDA devices, NumPy, Python) as tensors and JSON."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

__all__ = ["Draws", "restore", "states"]

_NUMPY, _PYTHON = "generator/numpy", "generator/python"


def states() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return where the generators stand, without moving any: words, and what is no word."""
    kind, words, place, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    version, numbers, left = random.getstate()
    tensors = {
        "generator/torch": torch.default_generator.get_state(),
        _NUMPY: torch.from_numpy(np.asarray(words, dtype=np.int64)),
        _PYTHON: torch.from_numpy(np.array(numbers, dtype=np.int64)),
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        for index in range(torch.cuda.device_count()):
            tensors[f"generator/cuda:{index}"] = torch.cuda.get_rng_state(index)
    return tensors, {"numpy": [kind, int(place), int(has_gauss), float(gauss)], "python": [version, left]}


def restore(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Set the generators to what `states` returned."""
    mine, rest = states()
    for name, held in mine.items():
        there = tensors.get(name)
        library = name.removeprefix("generator/")
        if there is None or (torch.equal(held, there) and rest.get(library) == about.get(library)):
            continue
        if name == _NUMPY:
            kind, place, has_gauss, gauss = about["numpy"]
            np.random.set_state((kind, there.numpy().astype(np.uint32), place, has_gauss, gauss))  # noqa: NPY002
        elif name == _PYTHON:
            version, left = about["python"]
            random.setstate((version, tuple(there.tolist()), left))
        elif library == "torch":
            torch.default_generator.set_state(there.clone())
        else:
            torch.cuda.set_rng_state(there.clone(), library)


class Draws:
    """What is drawn from the generators after a moment at which they stand alike in all runs.

    Where nothing is drawn it does not matter where a generator stands: one that nobody seeds stands elsewhere in every
    process.
    """

    def __init__(self) -> None:
        self._stood: dict[str, str] = {}

    def begin(self) -> None:
        """Take note of the moment."""
        self._stood = _digests()

    def since(self) -> dict[str, str]:
        """Return where each generator stands now, in words; nothing where no moment is known."""
        now = _digests() if self._stood else {}
        return {
            library: "nothing was drawn" if stands == self._stood.get(library) else f"stands at {stands}"
            for library, stands in now.items()
        }


def _digests() -> dict[str, str]:
    """Return a CRC-32 of where each generator stands."""
    tensors, rest = states()
    found = {}
    for name, held in tensors.items():
        library = name.removeprefix("generator/")
        crc = crc32(held.numpy().data, crc32(repr(rest.get(library)).encode()))
        found[library] = f"crc32 {crc:08x}"
    return found
