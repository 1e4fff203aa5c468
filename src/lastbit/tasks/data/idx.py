"""Reader of the IDX format of the MNIST family: a magic number, the sizes of the axes, then the values in C order.

Source: "The IDX file format", on Yann LeCun's page of the MNIST database (1998).
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from lastbit.core.errors import LastbitError

__all__ = ["read_idx"]

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path) -> np.ndarray[Any, Any]:
    """Return the array in an IDX file, compressed with gzip or plain (recognised by its content, not by its name).

    The first two bytes are zero, the third gives the type of the values, the fourth the number of axes; each axis has
    its size as a big-endian 32-bit integer. The array is read-only and in the file's byte order.

    Raises:
        LastbitError: the file cannot be read or decompressed, has another magic number, or holds fewer or more bytes
            than its header says.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise LastbitError(f"{path} cannot be read: {error}: fetch it again") from None
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _TYPES:
        raise LastbitError(
            f"{path} is not an IDX file: its magic number is {data[:4].hex() or 'missing'}, where 0000 and a type "
            f"({', '.join(f'{code:02x}' for code in _TYPES)}) and the number of axes were expected"
        )
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise LastbitError(f"{path} is truncated: {len(data)} bytes do not hold the sizes of its {data[3]} axes")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", count=data[3], offset=4))
    kind = np.dtype(_TYPES[data[2]])
    due = start + kind.itemsize * math.prod(shape)
    if len(data) != due:
        what = "is truncated" if len(data) < due else "has trailing bytes"
        raise LastbitError(f"{path} {what}: an array {shape} of {kind.name} takes {due} bytes, it has {len(data)}")
    return np.frombuffer(data, kind, offset=start).reshape(shape)
