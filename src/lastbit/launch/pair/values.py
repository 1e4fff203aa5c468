"""What a tensor holds, as a CRC-32 of its bytes, and who wrote its memory last.

The bytes are read where they lie, so that no operation of PyTorch runs, no generator moves and nothing is allocated on
a CPU. A hash is kept with the version counter of its memory: what PyTorch has not written since is not read again.
Memory is told by a weak reference, which keeps its address from being used anew.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from zlib import crc32

import torch
from torch import Tensor

from lastbit.launch.site.lines import Place

__all__ = ["Memories", "Memory", "Writer", "crc_of_object"]


@lru_cache(maxsize=4096)
def _bytes(size: int) -> Callable[[int], Any]:
    """Return what makes a buffer of so many bytes of an address, without a copy."""
    return (ctypes.c_char * size).from_address


_SMALL = 4096
"""Bytes up to which a value is always read anew: it may have been written through NumPy, which counts no version."""

Writer = tuple[int, int, str, Place | None]
"""Exchanges before, number of the operation, its name and its line."""


class Memory:
    """One storage, as it was met."""

    __slots__ = ("_weak", "hashes", "number", "open", "version", "writer")

    def __init__(self, number: int, weak: Any) -> None:
        self.number = number
        self._weak = weak
        self.writer: Writer | None = None
        self.version = -1
        self.hashes: dict[tuple[int, int], int] = {}
        """By address and bytes, at `version`, of what is not small."""
        self.open = False
        """Whether others may write it unseen: another process, or a collective under way."""

    def expired(self) -> bool:
        """Tell whether the program has let go of it."""
        return bool(torch.UntypedStorage._expired(self._weak))

    def __del__(self) -> None:
        torch.UntypedStorage._free_weak_ref(self._weak)  # type: ignore[no-untyped-call]


class Memories:
    """The storages that a process has met and that are alive."""

    def __init__(self) -> None:
        self._known: dict[int, Memory] = {}
        self._numbers = itertools.count()

    def of(self, tensor: Tensor) -> Memory | None:
        """Return the memory of a tensor; None where it has none of its own, as sparse ones."""
        try:
            storage = tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):
            return None
        memory = self._known.get(storage._cdata)
        return self._meet(storage) if memory is None else memory

    def _meet(self, storage: torch.UntypedStorage) -> Memory:
        memory = self._known[storage._cdata] = Memory(next(self._numbers), storage._weak_ref())
        memory.open = storage.device.type == "cpu" and storage.is_shared()
        return memory

    def crc(self, tensor: Tensor, memory: Memory, *, fresh: bool = False, written: bool = False) -> int | None:
        """Return the CRC-32 of what a tensor holds now; None where it cannot be read.

        Args:
            tensor: dense ones in the order of their memory, others in the order of their elements.
            memory: its own.
            fresh: whether it is read even if nobody seems to have written it.
            written: whether an operation has just written it, whose version will be counted after this.
        """
        size = tensor.nbytes
        if not size:
            return 0
        try:
            version = tensor._version
        except RuntimeError:  # one of inference mode
            version = -1
        else:
            if written:
                version += 1
        if version < 0 or memory.version != version:
            memory.version = version
            memory.hashes.clear()
        elif size > _SMALL and not fresh and not memory.open:
            found = memory.hashes.get((tensor.data_ptr(), size))
            if found is not None:
                return found
        if not tensor.is_cpu:
            return self._far(tensor, memory, size)
        address = tensor.data_ptr()
        if not address:
            return None
        if not (tensor.is_contiguous() or _dense(tensor)):
            compact = _compact(tensor)
            return crc32(_bytes(compact.nbytes)(compact.data_ptr()))
        if size <= _SMALL:
            return crc32(_bytes(size)(address))
        crc = memory.hashes[address, size] = crc32(_bytes(size)(address))
        return crc

    def _far(self, tensor: Tensor, memory: Memory, size: int) -> int | None:
        """Return the CRC-32 of a tensor on another device."""
        if tensor.device.type == "meta" or not tensor.untyped_storage().nbytes():
            return None
        near = tensor.detach().cpu().contiguous()
        crc = crc32(_bytes(near.nbytes)(near.data_ptr()))
        if tensor.is_contiguous():
            memory.hashes[tensor.data_ptr(), size] = crc
        return crc

    def touched(self, tensor: Tensor) -> None:
        """Forget what a tensor holds: it is written by something that cannot be followed."""
        memory = self.of(tensor)
        if memory is not None:
            memory.version = -1

    def sweep(self) -> None:
        """Forget what the program has let go of."""
        for key in [key for key, memory in self._known.items() if memory.expired()]:
            del self._known[key]


def _dense(tensor: Tensor) -> bool:
    """Tell whether the elements fill one span of memory, each its own place."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size == 1:
            continue
        if stride != expected:
            return False
        expected *= size
    return True


def _compact(tensor: Tensor) -> Tensor:
    """Return the elements in a row, those that share their memory once."""
    with torch.no_grad():
        for dim, (stride, size) in enumerate(zip(tensor.stride(), tensor.shape, strict=True)):
            if not stride and size > 1:
                tensor = tensor.narrow(dim, 0, 1)
        return tensor.contiguous()


def crc_of_object(value: Any) -> int:
    """Return the CRC-32 of a number's text, which holds all of its bits."""
    return crc32(repr(value).encode("utf-8", "replace"))
