"""The files of one run: its checkpoint while it is under way, its arrays once it is finished."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lastbit.core.errors import LastbitError
from lastbit.core.recorder import Checkpoint, Recorder
from lastbit.store.layout import disk_errors, write_atomically

__all__ = ["RunFiles"]


class RunFiles(Recorder):
    """A recorder that writes into a study folder.

    Worker processes write these files; only the process that owns the study makes the run visible in the database.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self.folder = folder
        self.checkpoint_path = folder / "checkpoints" / f"{run}.safetensors"
        self.arrays_path = folder / "arrays" / f"{run}.npz"

    def arrays(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Write the arrays of the finished run, whole or not at all.

        Raises:
            StorageError: the disk is full or the folder cannot be written.
        """
        with disk_errors(self.folder):
            write_atomically(self.arrays_path, lambda path: np.savez(path, allow_pickle=False, **arrays))

    def load_arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """Read the arrays of the finished run.

        Raises:
            LastbitError: there are none, or the file is damaged or holds something other than arrays of numbers.
        """
        try:
            with self.arrays_path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except FileNotFoundError:
            raise LastbitError(f"{self.arrays_path} is missing: the study was copied or deleted only in part") from None
        except (ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise LastbitError(
                f"{self.arrays_path} cannot be read ({str(error).partition(chr(10))[0]}): the file is damaged "
                "or not lastbit's"
            ) from None

    def save_checkpoint(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Replace the checkpoint, whole or not at all.

        Raises:
            StorageError: the disk is full or the folder cannot be written.
        """
        plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        header = {"facts": json.dumps(facts, allow_nan=False)}
        with disk_errors(self.folder):
            # Through Python's own file, whose error says that the disk is full; safetensors' own is only text.
            write_atomically(self.checkpoint_path, lambda path: path.write_bytes(save(plain, metadata=header)))

    def load_checkpoint(self) -> Checkpoint | None:
        """Return the last checkpoint, or None if there is no complete one."""
        try:
            with safe_open(self.checkpoint_path, framework="pt") as file:
                facts = json.loads((file.metadata() or {})["facts"])
                return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
        except (FileNotFoundError, SafetensorError, KeyError, json.JSONDecodeError):
            return None

    def drop_checkpoint(self) -> None:
        """Remove the checkpoint of a run that no longer needs one."""
        with suppress(FileNotFoundError):
            self.checkpoint_path.unlink()
