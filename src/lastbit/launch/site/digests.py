"""What something holds, in a few words and a CRC-32: a file, a folder, what a program takes from somewhere.

Only the standard library is imported: this is loaded by `sitecustomize.py` before anything of lastbit's is.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import ExitStack
from typing import Any
from zlib import crc32

__all__ = ["contents", "digest", "order"]

_SMALL = 1 << 20
"""Bytes up to which the contents of a file are digested."""


def contents(name: str) -> str:
    """Return the size of a file and a CRC-32 of what is in it, or when it was changed."""
    about = os.stat(name)
    if not stat.S_ISREG(about.st_mode):
        return "no plain file"
    if about.st_size > _SMALL:
        return f"{about.st_size} bytes, changed at {about.st_mtime}"
    with open(name, "rb") as file:
        return f"{about.st_size} bytes, crc32 {crc32(file.read()):08x}"


def order(name: str) -> str:
    """Return CRC-32s of the names in a folder, as they are listed and whatever their order."""
    names = os.listdir(name)
    together = ["\0".join(order).encode("utf-8", "replace") for order in (names, sorted(names))]
    return f"{len(names)} entries, order crc32 {crc32(together[0]):08x}, names crc32 {crc32(together[1]):08x}"


def digest(batch: Any) -> str:
    """Return the shapes and a CRC-32 of all tensors, arrays and numbers in what was taken."""
    torch: Any = sys.modules.get("torch")
    shapes, crc, left = [], 0, [batch]
    with ExitStack() as around:
        if torch is not None:
            around.enter_context(torch._C._DisableTorchDispatch())
            around.enter_context(torch.no_grad())
        while left:
            one = left.pop()
            if torch is not None and isinstance(one, torch.Tensor):
                shapes.append(str(tuple(one.shape)))
                if one.layout is torch.strided and one.numel():
                    near = one.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
                    crc = crc32(near.numpy().data, crc)
            elif type(one).__module__ == "numpy" and not one.dtype.hasobject:
                crc = crc32(one.tobytes(), crc)
            elif isinstance(one, dict):
                left.extend(one.values())
            elif isinstance(one, (list, tuple)):
                left.extend(one)
            elif isinstance(one, (int, float, str, bytes)):
                crc = crc32(repr(one).encode("utf-8", "replace"), crc)
    return f"{' '.join(shapes[:4])} crc32 {crc:08x}"
