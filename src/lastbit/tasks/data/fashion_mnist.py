"""Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017): 70,000 grey images of clothing, 28x28, in IDX form."""

from __future__ import annotations

import gzip
import math
import zlib
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from lastbit.core.errors import LastbitError
from lastbit.tasks.data.images import Images, check_labels
from lastbit.tasks.data.places import Published, Stamp, find

__all__ = ["BASE_URL", "CHECKSUMS", "SYSTEM_FOLDER", "load_fashion_mnist", "read_idx"]

BASE_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
"""The authors' host."""

CHECKSUMS = {
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
}
"""The files, and the MD5 of each compressed with gzip, from the authors' README."""

SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts the files."""

_MOST = 1 << 30
"""The most bytes of an IDX file, twenty times the largest of this data set."""

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""Formats of the values in an IDX file, by the third byte."""


def load_fashion_mnist(data_root: str | None = None, *, base_url: str = BASE_URL, cache: Path | None = None) -> Images:
    """Return Fashion-MNIST, decoded once in a process.

    Searched for in `data_root`, or else in the folder that `LASTBIT_DATA` names, the folder of Debian's package and the
    user's cache, to which it is downloaded and checked if need be. The files may be compressed or plain.

    Args:
        data_root: the folder of the files, or the one above it.
        base_url: where to download from.
        cache: the folder for downloads, of the user's cache if None.

    Raises:
        LastbitError: the files are not found, partly missing, or damaged.
    """
    data = Published(
        name="Fashion-MNIST",
        wanted=f"the files {', '.join(CHECKSUMS)}, plain or .gz",
        files=tuple(CHECKSUMS),
        packed=True,
        subfolders=("fashion-mnist", "FashionMNIST/raw"),
        system=(SYSTEM_FOLDER,),
        downloads={f"{base_url}/{name}.gz": md5 for name, md5 in CHECKSUMS.items()},
    )
    return _decode(find(data, data_root, cache))


def read_idx(path: Path) -> np.ndarray[Any, Any]:
    """Return the array in an IDX file, compressed with gzip or plain (recognised by its content, not by its name).

    The first two bytes are zero, the third gives the type of the values, the fourth the number of axes; each axis has
    its size as a big-endian 32-bit integer. The array is read-only and in the file's byte order.

    Source: "The IDX file format", on Yann LeCun's page of the MNIST database (1998).

    Raises:
        LastbitError: the file cannot be read or decompressed, has another magic number, or holds fewer or more bytes
            than its header says.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with cast(IO[bytes], gzip.open(path) if packed else path.open("rb")) as file:
            data = _read(file, 4)
            data += _read(file, 4 * data[3] if len(data) == 4 else 0)
            # A small file may unfold to more than there is memory: no more is read than its header says, and a byte.
            shape = tuple(int(size) for size in np.frombuffer(data[4 : len(data) // 4 * 4], ">u4"))
            kind = np.dtype(_TYPES.get(data[2], ">u1")) if len(data) > 2 else np.dtype("u1")
            due = len(data) + kind.itemsize * math.prod(shape)
            data += _read(file, min(due, _MOST) + 1 - len(data))
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
    if len(data) > _MOST:
        raise LastbitError(
            f"{path} unfolds to more than {_MOST >> 20} MiB: it is damaged, or not a set of small images"
        )
    if len(data) != due:
        what = "is truncated" if len(data) < due else "has trailing bytes"
        raise LastbitError(f"{path} {what}: an array {shape} of {kind.name} takes {due} bytes, it has {len(data)}")
    return np.frombuffer(data, kind, offset=start).reshape(shape)


def _read(file: IO[bytes], most: int) -> bytes:
    """Return the next bytes of a file, at most so many, without making room for more than there are."""
    found = bytearray()
    while len(found) < most and (part := file.read(min(1 << 20, most - len(found)))):
        found += part
    return bytes(found)


@lru_cache(maxsize=2)
def _decode(files: tuple[Stamp, ...]) -> Images:
    paths = [path for path, _, _ in files]
    images_train, labels_train, images_test, labels_test = (read_idx(path) for path in paths)
    for images, path in ((images_train, paths[0]), (images_test, paths[2])):
        if images.dtype != "u1" or images.shape[1:] != (28, 28):
            raise LastbitError(f"{path} holds {images.dtype} {images.shape}, not images of 28 x 28 bytes")
    for images, labels, path in ((images_train, labels_train, paths[1]), (images_test, labels_test, paths[3])):
        check_labels(labels, len(images), classes=10, where=str(path))
    return Images(
        train=images_train[:, None], train_labels=labels_train, test=images_test[:, None], test_labels=labels_test
    )
