"""Arrays that lie in a mapped file: where they lie, opened again elsewhere, and their pages given back once read."""

from __future__ import annotations

import io
import mmap
import pickle
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import data

from lastbit.core.batches import leaves_of

__all__ = ["ByPlace", "MappedArray", "Pages", "files_kept_by", "mapped_file", "pickled", "tensor_of"]

Array = np.ndarray[Any, Any]

_TOUCHED = 64 << 20
"""Bytes that are read before the pages are given back; a file of fewer keeps them."""

_AROUND = 64 << 10
"""Bytes of a mapped file that Linux maps around each that is read."""


def mapped_file(array: Array) -> tuple[np.memmap[Any, Any], mmap.mmap] | None:
    """Return the memory map that an array is a view of, and the mapping below; None of an array in memory."""
    above: Any = None
    below: Any = array
    while below is not None and not isinstance(below, mmap.mmap):
        above, below = below, getattr(below, "base", None)
    return (above, below) if isinstance(below, mmap.mmap) and isinstance(above, np.memmap) else None


def tensor_of(array: Array) -> Tensor:
    """Return an array as a tensor on the same memory.

    Raises:
        TypeError: its type is none of torch's.
        ValueError: torch has no such strides, as of a reversed array.
    """
    with warnings.catch_warnings():
        # Nothing is written to it here: a batch is a copy.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


@dataclass(frozen=True)
class MappedArray:
    """Where in which file an array lies, which travels to another process in place of what the file holds."""

    path: str
    mode: str
    dtype: np.dtype[Any]
    offset: int
    """Bytes from the start of the file."""
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, array: Array) -> MappedArray | None:
        """Return where `array` lies; None where it is in no file, or where what was written to it is in none."""
        found = mapped_file(array)
        if found is None or found[0].filename is None or found[0].mode == "c":
            return None
        whole, _ = found
        at = array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
        return cls(
            path=str(whole.filename),
            mode="r" if whole.mode == "r" else "r+",
            dtype=array.dtype,
            offset=int(whole.offset) + at,
            shape=array.shape,
            strides=array.strides,
        )

    def open(self) -> Array:
        """Map the file again.

        Raises:
            OSError: it is not there any more.
        """
        whole = np.memmap(self.path, dtype=np.uint8, mode=self.mode)  # type: ignore[call-overload]
        return np.ndarray(self.shape, self.dtype, buffer=whole, offset=self.offset, strides=self.strides)


def files_kept_by(dataset: Any) -> list[mmap.mmap]:
    """Return the large mapped files of which a dataset, or one that it is made from, keeps arrays as attributes."""
    found: dict[int, mmap.mmap] = {}
    left, seen = [dataset], set()
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        for leaf in leaves_of(list(getattr(one, "__dict__", {}).values())):
            if isinstance(leaf, data.Dataset):
                left.append(leaf)
            elif isinstance(leaf, np.ndarray) and (there := mapped_file(leaf)) is not None:
                whole, file = there
                if whole.mode != "c" and len(file) > _TOUCHED:
                    found[id(file)] = file
    return list(found.values())


class ByPlace:
    """A mixin for picklers: an array in a mapped file travels as the place where it lies."""

    def reducer_override(self, value: Any) -> Any:
        """Return how to make `value` again."""
        place = MappedArray.of(value) if isinstance(value, np.ndarray) else None
        return NotImplemented if place is None else (MappedArray.open, (place,))


class _Pickler(ByPlace, pickle.Pickler):
    pass


def pickled(value: Any) -> bytes:
    """Return `value` pickled, with the place of arrays that lie in files in place of what the files hold."""
    body = io.BytesIO()
    _Pickler(body, pickle.HIGHEST_PROTOCOL).dump(value)
    return body.getvalue()


class Pages:
    """The pages of mapped files that a process holds, given back each time that enough were read.

    They stay in the system's cache: what is read again soon is not fetched from the disk again. Without this, an epoch
    over a file would end with all of it in the process's resident memory.

    Args:
        files: what is read from. Private copies are not among them: what was written to those lies in their pages.
    """

    def __init__(self, files: list[mmap.mmap]) -> None:
        self._files = files if hasattr(mmap, "MADV_DONTNEED") else []
        self._read = 0

    def read(self, rows: int, size: int) -> None:
        """Note that so many rows of `size` bytes were read."""
        self._read += rows * (size + _AROUND)
        if self._read >= _TOUCHED:
            self.give_back()

    def give_back(self) -> None:
        """Give back what was read so far."""
        self._read = 0
        for file in self._files:
            file.madvise(mmap.MADV_DONTNEED)
