"""The folder through which a reference tells its followers where it stands: one file for each message and follower.

```
layouts/KEY.json             names and shapes of flat vectors
claims/ROLE/PROCESS          which processes have come
inbox/ROLE/PROCESS/NAME      what a process of a follower has not taken yet, as safetensors
inbox/ROLE/over              the reference has ended
```

A message lies in all inboxes as one file (hard links), and is gone once every follower has taken it. The reference
waits while more than a number of bytes lies there. A follower that is gone loses its inbox, and is not waited for.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep  # bound here: those that a program finds there may be replaced
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from lastbit.launch.forced.flat import Flat, Layout, dtype_name, layout_of

__all__ = ["Inbox", "Message", "Outbox", "claimed", "is_done", "made", "read_message"]

MOST = 256 << 20
"""Bytes that may lie in the folder for one process of the reference, in more than two messages."""

PATIENCE = 60.0
"""Seconds that the reference waits for a process of a follower that has not come."""


@dataclass(frozen=True)
class Message:
    """What the reference said."""

    about: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    """Small ones, of one dimension."""
    flats: Mapping[str, Flat]
    """By what they are and their format: `gradient/float32`."""


def claimed(folder: Path, role: str, label: str) -> str:
    """Return the name of this process in its run: its label, and its place among those of that label."""
    claims = folder / "claims" / role
    claims.mkdir(parents=True, exist_ok=True)
    place = 0
    while True:
        try:
            (claims / f"{label}-{place}").mkdir()
        except FileExistsError:
            place += 1
        else:
            return f"{label}-{place}"


def read_message(path: Path, layouts: Callable[[str], Layout]) -> Message:
    """Read a message.

    Args:
        path: of its file.
        layouts: gives them by their keys.
    """
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["about"])
        held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    flats = {name: Flat(layouts(key), held[name]) for name, key in about["layouts"].items()}
    tensors: dict[str, Tensor] = {}
    for packed, sizes in about["packed"].items():
        tensors |= zip(sizes, held[packed].split(list(sizes.values())), strict=True)
    return Message(about, tensors, flats)


def _packed(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, dict[str, int]]]:
    """Return small tensors of one dimension as one for each format, and their sizes: a file of few is soon read."""
    kinds: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        kinds.setdefault(f"packed/{dtype_name(tensor.dtype)}", []).append(name)
    joined = {kind: torch.cat([tensors[name] for name in names]) for kind, names in kinds.items()}
    return joined, {kind: {name: tensors[name].numel() for name in names} for kind, names in kinds.items()}


class Outbox:
    """A reference's process, as it speaks.

    Args:
        folder: of the exchange.
        roles: of the followers.
        process: its name.
    """

    def __init__(self, folder: Path, roles: Sequence[str], process: str) -> None:
        self._folder, self._process = folder, process
        self._roles = [role for role in roles if self._opened(role)]
        self._layouts: set[str] = set()
        self._lying: list[tuple[list[Path], int]] = []
        """What was not taken when it was looked at last, with its size."""
        self._bytes = 0

    def _opened(self, role: str) -> bool:
        """Open the inbox of a follower's process, and tell whether the follower is there."""
        try:
            (self._folder / "inbox" / role / self._process).mkdir()
        except FileNotFoundError:
            return False
        return True

    def put(
        self, name: str, about: Mapping[str, Any], flats: Mapping[str, Flat], tensors: Mapping[str, Tensor]
    ) -> Path | None:
        """Say something to all followers; wait first while too much lies there.

        Returns:
            The file, which is the caller's to remove.
        """
        layouts = {key: self._known(flat.layout) for key, flat in flats.items()}
        small, sizes = _packed(tensors)
        told = {"about": json.dumps({**about, "layouts": layouts, "packed": sizes})}
        path = self._folder / f"{self._process}.{name}"
        save_file({key: flat.values for key, flat in flats.items()} | small, path, metadata=told)
        size = path.stat().st_size
        self._wait(size)
        lying = []
        for role in list(self._roles):
            into = self._folder / "inbox" / role / self._process / name
            try:
                _linked(path, into)
            except FileNotFoundError:
                self._roles.remove(role)
            else:
                lying.append(into)
        self._lying.append((lying, size))
        self._bytes += size
        return path

    def _known(self, layout: Layout) -> str:
        """Return the key of a layout, which has been written."""
        if layout.key not in self._layouts:
            self._layouts.add(layout.key)
            folder = self._folder / "layouts"
            folder.mkdir(exist_ok=True)
            part = folder / f"{layout.key}.{self._process}"
            part.write_text(json.dumps([layout.names, layout.shapes]), encoding="utf-8")
            part.replace(folder / f"{layout.key}.json")
        return layout.key

    def _wait(self, size: int) -> None:
        """Wait until there is room."""
        began, pause = monotonic(), 0.0005
        while len(self._lying) >= 2 and self._bytes + size > MOST:
            lying = [(left, bytes_) for paths, bytes_ in self._lying if (left := list(filter(_lies, paths)))]
            self._lying, self._bytes = lying, sum(bytes_ for _, bytes_ in lying)
            if len(lying) < 2 or self._bytes + size <= MOST:
                return
            sleep(pause)
            pause = min(2 * pause, 0.02)
            if monotonic() - began > PATIENCE:
                self._forsake()

    def _forsake(self) -> None:
        """Wait no more for processes that never came."""
        for role in list(self._roles):
            if not (self._folder / "claims" / role / self._process).exists():
                self._roles.remove(role)
                shutil.rmtree(self._folder / "inbox" / role / self._process, ignore_errors=True)


def _lies(path: Path) -> bool:
    return path.exists()


def _linked(path: Path, into: Path) -> None:
    """Have a file at another place too."""
    try:
        os.link(path, into)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without such links
        part = into.with_name(f"{into.name}.part")
        shutil.copyfile(path, part)
        part.replace(into)


class Inbox:
    """A follower's process, as it hears.

    Args:
        folder: of the exchange.
        role: of the follower.
        process: its name.
        keeps: whether messages stay where they are: they are a record's.
    """

    def __init__(self, folder: Path, role: str, process: str, *, keeps: bool) -> None:
        self._folder, self._mine = folder, folder / "inbox" / role
        self._inbox, self._claim = self._mine / process, folder / "claims" / role / process
        self._keeps = keeps
        self._layouts: dict[str, Layout] = {}

    def take(self, name: str, *, unless: str | None = None) -> Message | None:
        """Return what the reference says; wait for it; None where it will not come.

        Args:
            name: of the message.
            unless: the message that tells that the one that is asked for will not come.
        """
        path, pause = self._inbox / name, 0.0005
        while not path.exists():
            if self._ended(unless) and not path.exists():
                return None
            sleep(pause)
            pause = min(2 * pause, 0.01)
        message = read_message(path, self._layout)
        if not self._keeps:
            path.unlink(missing_ok=True)
        return message

    def _ended(self, unless: str | None) -> bool:
        """Tell whether the reference has ended, or this follower has been given up."""
        names = [name for name in ("end", unless) if name is not None]
        return (
            any((self._inbox / name).exists() for name in names)
            or (self._mine / "over").exists()
            or not (self._mine.exists())
        )

    def _layout(self, key: str) -> Layout:
        found = self._layouts.get(key)
        if found is None:
            names, shapes = json.loads((self._folder / "layouts" / f"{key}.json").read_text("utf-8"))
            found = self._layouts[key] = layout_of(tuple(names), tuple(map(tuple, shapes)))
        return found

    def close(self, *, early: bool) -> None:
        """Hear no more; say so where the process goes on without."""
        if not self._keeps:
            shutil.rmtree(self._inbox, ignore_errors=True)
        if early:
            with suppress(OSError):
                (self._claim / "done").touch()


def is_done(folder: Path, role: str) -> bool:
    """Tell whether there is nothing more to come of a follower, although its processes may go on."""
    claims = list((folder / "claims" / role).glob("*"))
    return bool(claims) and all((claim / "done").exists() for claim in claims)


def made(folder: Path, roles: Sequence[str]) -> None:
    """Make the folder of an exchange with these followers."""
    for role in roles:
        (folder / "inbox" / role).mkdir(parents=True)
