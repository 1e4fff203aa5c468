"""Measured claims on disk: one folder that can be copied, gone on with, and read without lastbit.

```
DIR/paper.json            scale, device, environment, schema version
DIR/result.json           what the claims are judged to be, once they are
DIR/C6/NAME.json          one piece of what a claim measured, whole or not there
DIR/C6/FIGURE.png, .svg   its figures
DIR/C6/STUDY/             a study that a piece of it made
DIR/lock                  held by the process that measures
```
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.store.layout import DamagedFileError, disk_errors, read_json, sweep, write_atomically, write_json
from lastbit.store.lock import LOCKS, locked

__all__ = ["ClaimFolder"]

_FACTS = "paper.json"

_SCHEMA = 1
"""Version of everything above."""


class ClaimFolder:
    """A folder of measured claims.

    Args:
        path: of it.
        facts: what `paper.json` says.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        self.path, self.facts = path, facts

    @staticmethod
    def is_one(path: Path) -> bool:
        """Whether claims were measured into a folder."""
        return (path / _FACTS).exists()

    @classmethod
    def read(cls, path: Path) -> ClaimFolder:
        """Open one to read.

        Raises:
            LastbitError: there is none, or it is of another version.
        """
        if not cls.is_one(path):
            raise LastbitError(f"{path} holds no measured claims: name the folder of a lastbit paper run")
        facts = read_json(path / _FACTS)
        if facts.get("schema") != _SCHEMA:
            raise LastbitError(
                f"{path} is of version {facts.get('schema')}, this lastbit reads {_SCHEMA}: measure again in another "
                "folder with --out"
            )
        return cls(path, facts)

    @classmethod
    @contextmanager
    def measuring(cls, path: Path, facts: Mapping[str, Any]) -> Iterator[ClaimFolder]:
        """Hold one to measure: a new or empty folder, or one that was begun, whose own facts then count.

        Args:
            path: of it.
            facts: of what is begun.

        Raises:
            LastbitError: another process holds it, the folder is something else's, or it cannot be written.
        """
        begun = cls.is_one(path)
        with disk_errors(path, begun=begun):
            path.mkdir(parents=True, exist_ok=True)
            foreign = [one.name for one in path.iterdir() if one.name not in LOCKS]
            if not begun and foreign:
                raise LastbitError(f"{path} holds something else ({min(foreign)}): name an empty folder with --out")
            with locked(path):
                if not begun:
                    write_json(path / _FACTS, {"schema": _SCHEMA, **facts})
                yield cls.read(path)

    def of(self, claim: str) -> Path:
        """Return the folder of a claim, made where it is not there."""
        folder = self.path / claim
        folder.mkdir(exist_ok=True)
        return folder

    def piece(self, claim: str, name: str) -> dict[str, Any] | None:
        """Return a piece that is in; None where it is not, or cannot be read."""
        path = self.path / claim / f"{name}.json"
        if not path.exists():
            return None
        try:
            return read_json(path)
        except (LastbitError, DamagedFileError):
            return None

    def keep_piece(self, claim: str, name: str, content: Mapping[str, Any]) -> None:
        """Keep a piece: it is there whole, or not at all.

        Raises:
            StorageError: the disk is full, or the place cannot be written.
        """
        with disk_errors(self.path):
            write_json(self.of(claim) / f"{name}.json", content)

    def keep_file(self, claim: str, name: str, content: bytes) -> Path:
        """Keep a file of a claim, written atomically, and return its path.

        Raises:
            StorageError: the disk is full, or the place cannot be written.
        """
        path = self.of(claim) / name
        with disk_errors(self.path):
            sweep(path.parent, path.stem)
            write_atomically(path, lambda place: place.write_bytes(content))
        return path

    def keep_result(self, content: Mapping[str, Any]) -> None:
        """Keep what the claims are judged to be.

        Raises:
            StorageError: the disk is full, or the place cannot be written.
        """
        with disk_errors(self.path):
            write_json(self.path / "result.json", content)
