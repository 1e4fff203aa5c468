"""The files of one run: its checkpoint while it is under way, its arrays once it is finished, weights where asked."""

from __future__ import annotations

import hashlib
import json
import math
import os
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
import torch
from numpy.lib import format as npy
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.core.recorder import MOMENTS, Checkpoint, Moment, Recorder
from lastbit.store.layout import DamagedFileError, checksum, disk_errors, opened_file, write_atomically

__all__ = ["RunFiles", "read_arrays", "write_arrays"]

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write arrays into an `.npz`, whole or not at all.

    Raises:
        OSError: the disk is full or the place cannot be written.
        ValueError: an array holds objects, which only a pickle could.
    """
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise ValueError(f"array {name!r} holds objects")
    # Before NumPy 2.2 `allow_pickle=False` would be taken for an array of that name.
    named: dict[str, Any] = dict(arrays)
    write_atomically(path, lambda temporary: np.savez(temporary, **named))


def read_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Read what `write_arrays` wrote.

    Raises:
        DamagedFileError: there is no such file, or it is damaged or holds something other than arrays of numbers.
    """
    try:
        with opened_file(path) as raw:
            _check_sizes(raw)
            with np.load(raw, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
    except (
        OSError,
        ValueError,
        EOFError,
        AttributeError,
        TypeError,
        KeyError,
        NotImplementedError,
        RuntimeError,  # an encrypted member
        LastbitError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DamagedFileError(
            f"{path} cannot be read ({str(error).partition(chr(10))[0]}): the file is damaged or not lastbit's"
        ) from None


class RunFiles(Recorder):
    """A recorder that writes into a study folder.

    Worker processes write these files; only the process that owns the study makes the run visible in the database.

    Raises:
        DamagedFileError: the run's name leads out of the study.
    """

    def __init__(self, folder: Path, run: str) -> None:
        if {"/", os.sep, "\0"} & set(run):
            raise DamagedFileError(f"{run!r} is no name of a run, in {folder}: the study is damaged or not lastbit's")
        self.folder = folder
        self.checkpoint_path = folder / "checkpoints" / f"{run}.safetensors"
        self.arrays_path = folder / "arrays" / f"{run}.npz"
        self.weights_path = folder / "weights" / f"{run}.safetensors"

    def arrays(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Write the arrays of the finished run, whole or not at all.

        Raises:
            StorageError: the disk is full or the folder cannot be written.
        """
        with disk_errors(self.folder):
            write_arrays(self.arrays_path, arrays)

    def check(self, known: str | None) -> None:
        """Compare the file of arrays with the checksum that is known of it; None is no checksum.

        Raises:
            DamagedFileError: the file is missing, or another than the one that was written.
        """
        try:
            found = checksum(self.arrays_path) if known else self.arrays_path.stat()
        except FileNotFoundError:
            raise DamagedFileError(
                f"{self.arrays_path} is missing: the study was copied or deleted only in part"
            ) from None
        except (OSError, LastbitError) as error:
            raise DamagedFileError(f"{self.arrays_path} cannot be read ({error})") from None
        if known and found != known:
            raise DamagedFileError(
                f"{self.arrays_path} cannot be read (its checksum differs from the one in runs.sqlite): the file is "
                "damaged"
            )

    def load_arrays(self, known: str | None = None) -> dict[str, np.ndarray[Any, Any]]:
        """Read the arrays of the finished run.

        Args:
            known: the file's checksum; None where there is none.

        Raises:
            DamagedFileError: there are none, or the file is damaged or holds something other than arrays of numbers.
        """
        self.check(known)
        return read_arrays(self.arrays_path)

    def save_checkpoint(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Replace the checkpoint, whole or not at all.

        Raises:
            StorageError: the disk is full or the folder cannot be written.
        """
        plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        text = json.dumps(facts, allow_nan=False)
        header = {"facts": text, "checksum": _digest(plain, text)}
        with disk_errors(self.folder):
            # Through Python's own file, whose error says that the disk is full; safetensors' own is only text.
            write_atomically(self.checkpoint_path, lambda path: path.write_bytes(save(plain, metadata=header)))

    def load_checkpoint(self) -> Checkpoint | None:
        """Return the last checkpoint, or None if there is no complete one whose bits are those that were written."""
        try:
            with opened_file(self.checkpoint_path) as file:
                content = file.read()
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
            tensors, text = load(content), header["facts"]
            facts = json.loads(text)
        except (OSError, SafetensorError, LastbitError, LookupError, TypeError, ValueError, RecursionError):
            return None
        # A checkpoint of a lastbit that kept no checksums is taken as it is.
        return (tensors, facts) if header.get("checksum", known := _digest(tensors, text)) == known else None

    def drop_checkpoint(self) -> None:
        """Remove the checkpoint of a run that no longer needs one."""
        with suppress(FileNotFoundError):
            self.checkpoint_path.unlink()

    def lent_path(self, when: Moment) -> Path:
        """Return where the weights of a moment stand for as long as other runs are to be compared with them."""
        return self.folder / "checkpoints" / f"{self.checkpoint_path.stem}.{when}"

    def keep_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Write the weights that stay in the study, in their own formats, whole or not at all.

        Raises:
            StorageError: the disk is full or the folder cannot be written.
        """
        with disk_errors(self.folder):
            self.weights_path.parent.mkdir(exist_ok=True)
        self._write_weights(self.weights_path, tensors)

    def lend_weights(self, when: Moment, tensors: Mapping[str, Tensor]) -> None:
        """Write the weights of a moment, for other runs to be compared with until `drop_lent`.

        Raises:
            StorageError: the disk is full or the folder cannot be written.
        """
        self._write_weights(self.lent_path(when), tensors)

    def _write_weights(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        with disk_errors(self.folder):
            write_atomically(path, lambda temporary: temporary.write_bytes(save(plain)))

    def load_weights(self, when: Moment) -> dict[str, Tensor] | None:
        """Return the weights of a moment by name; None where they are not there or cannot be read.

        The tensors are views of the file, whose pages the system reads and forgets as it needs.

        Args:
            when: `final` for those that stay in the study too.
        """
        for path in (*((self.weights_path,) if when == "final" else ()), self.lent_path(when)):
            try:
                opened_file(path).close()  # refuses what is no file of the study
                with safe_open(path, framework="pt") as file:
                    return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            except (OSError, SafetensorError, LastbitError):
                continue
        return None

    def drop_lent(self) -> None:
        """Remove the weights that no other run needs any more."""
        for when in MOMENTS:
            self.lent_path(when).unlink(missing_ok=True)


def _digest(tensors: Mapping[str, Tensor], facts: str) -> str:
    """Return the BLAKE2 digest of what a checkpoint holds: names, formats, shapes, every bit, and the facts."""
    digest = hashlib.blake2b(facts.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check_sizes(raw: BinaryIO) -> None:
    """Refuse a file that would unfold to more than it holds: compressed members, or shapes beyond their bytes.

    Raises:
        ValueError: it is such a file.
    """
    size = raw.seek(0, 2)
    with zipfile.ZipFile(raw) as archive:
        members = archive.infolist()
        if any(one.compress_type != zipfile.ZIP_STORED for one in members):
            raise ValueError("its arrays are compressed, which lastbit's are not")
        if sum(one.file_size for one in members) > size:
            raise ValueError("its arrays are said to take more bytes than the file has")
        for one in members:
            with archive.open(one) as member:
                _check_shape(member, one.file_size)
    raw.seek(0)


def _check_shape(member: IO[bytes], size: int) -> None:
    version = npy.read_magic(member)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of NumPy's format")
    shape, _, dtype = _HEADERS[version](member)
    if dtype.hasobject or member.tell() + math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"an array of {dtype} and shape {shape} does not fill its {size} bytes")
