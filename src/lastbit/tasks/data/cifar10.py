"""CIFAR-10 (Krizhevsky, 2009): 60,000 colour images, 32x32, from the binary archive (no pickle).

The archive holds five training files and one test file of records: one byte for the label, then 1,024 bytes each of
red, green and blue, row by row.
"""

from __future__ import annotations

import tarfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lastbit.core.errors import LastbitError
from lastbit.tasks.data.images import Images, check_labels
from lastbit.tasks.data.places import Published, Stamp, find

__all__ = ["ARCHIVE", "BASE_URL", "CHECKSUM", "FILES", "load_cifar10"]

BASE_URL = "https://www.cs.toronto.edu/~kriz"
"""The author's host."""

ARCHIVE = "cifar-10-binary.tar.gz"
CHECKSUM = "c32a1d4ab5d03f1284b67883e8d87530"
"""MD5 of the archive, from the author's page."""

FILES = (*(f"data_batch_{part}.bin" for part in range(1, 6)), "test_batch.bin")
"""The files of records; the last is the test set."""

_RECORD = 1 + 3 * 32 * 32


def load_cifar10(data_root: str | None = None, *, base_url: str = BASE_URL, cache: Path | None = None) -> Images:
    """Return CIFAR-10, decoded once in a process.

    Searched for in `data_root`, or else in the folder that `LASTBIT_DATA` names and in the user's cache, to which the
    archive is downloaded and checked if need be. Either the extracted files or the archive is accepted; the archive is
    read in memory, nothing is extracted to disk.

    Args:
        data_root: the folder of the files or of the archive, or the one above it.
        base_url: where to download from.
        cache: the folder for downloads, of the user's cache if None.

    Raises:
        LastbitError: the files are not found, partly missing, or damaged.
    """
    data = Published(
        name="CIFAR-10",
        wanted=f"{ARCHIVE} or its files {FILES[0]} to {FILES[-1]}",
        files=FILES,
        archive=ARCHIVE,
        subfolders=("cifar-10-batches-bin", "cifar-10", "cifar10"),
        downloads={f"{base_url}/{ARCHIVE}": CHECKSUM},
    )
    return _decode(find(data, data_root, cache))


def _read_archive(path: Path) -> dict[str, bytes]:
    parts: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                file = archive.extractfile(member) if member.isfile() and name in FILES else None
                if file is not None:
                    parts[name] = file.read()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise LastbitError(f"{path} cannot be read: {error}: fetch it again") from None
    if missing := [name for name in FILES if name not in parts]:
        raise LastbitError(f"{path} is not the binary CIFAR-10 archive: {', '.join(missing)} missing in it")
    return parts


def _records(data: bytes, where: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    if not data or len(data) % _RECORD:
        raise LastbitError(
            f"{where} is truncated or not a CIFAR-10 file: {len(data)} bytes are not a whole number of records "
            f"of {_RECORD}"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, _RECORD)
    check_labels(records[:, 0], len(records), classes=10, where=where)
    return records


@lru_cache(maxsize=2)
def _decode(files: tuple[Stamp, ...]) -> Images:
    paths = [path for path, _, _ in files]
    if len(paths) == 1:
        parts = {f"{paths[0]}:{name}": data for name, data in sorted(_read_archive(paths[0]).items())}
    else:
        parts = {str(path): path.read_bytes() for path in paths}
    *train, test = (_records(data, where) for where, data in parts.items())
    records = np.concatenate(train)
    return Images(
        train=records[:, 1:].reshape(-1, 3, 32, 32),
        train_labels=records[:, 0],
        test=test[:, 1:].reshape(-1, 3, 32, 32),
        test_labels=test[:, 0],
    )
