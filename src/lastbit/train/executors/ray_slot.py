"""A slot of a Ray cluster: an actor that holds a process of training, passes jobs on to it, and tells what it says.

The actor computes nothing, so what trains is a process like those of `ProcessExecutor`: fresh, with the threads that it
was told, and with a main thread that is the task's. A run that ends its process ends no actor.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from lastbit.train.executors.away import GREETING, AwayFactory, Luggage, unpack
from lastbit.train.executors.channel import unpacked
from lastbit.train.executors.started import Child, start_child

__all__ = ["CHUNK", "Message", "Slot"]

Message = tuple[Any, ...]
"""`("progress", state)`, `("file", name, chunk, whether it is the last)`, `("gone", name)`, or how a job ended:
`("done", result)`, `("raised", message)`, `("stop", message)`."""

CHUNK = 4 << 20
"""Bytes of a file that travel at once."""

_LOOK = 0.5
"""Seconds between two looks for a checkpoint, and between two numbers of steps that are told."""

_ROOM = "lastbit-slot-"
_PR_SET_PDEATHSIG = 1


class Slot:
    """The actor; one job at a time."""

    def __init__(self) -> None:
        _end_with_parent()
        _sweep()
        self._room = Path(tempfile.mkdtemp(prefix=f"{_ROOM}{os.getpid()}-"))
        self._study = self._room / "study"
        self._heard: SimpleQueue[tuple[Child, bytes | None]] = SimpleQueue()
        self._child: Child | None = None
        self._luggage: Luggage | None = None
        self._known: dict[str, tuple[int, int]] = {}
        """Files that the study has, with the time and size that they had."""

    def greet(self, luggage: Luggage) -> Iterator[Message]:
        """Take what jobs need, and tell what the process of training computes with."""
        self._luggage = luggage
        if missing := luggage.missing():
            yield "raised", missing
            return
        yield from self.do(GREETING, {}, ())

    def do(self, payload: bytes, files: Mapping[str, bytes], replaced: tuple[str, ...]) -> Iterator[Message]:
        """Do a job, and tell what becomes of it.

        Args:
            payload: the job, pickled.
            files: that it goes on from, by name.
            replaced: names of those that it replaces while it is under way.
        """
        shutil.rmtree(self._study, ignore_errors=True)
        for name in ("arrays", "checkpoints", "output"):
            (self._study / name).mkdir(parents=True)
        self._known.clear()
        for name, content in files.items():
            path = self._study / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            self._known[name] = _stamp(path)
        child = self._child or self._start()
        child.tell(("run", payload))
        looked = 0.0
        while True:
            kind, value = self._next()
            if kind not in ("progress", "nothing"):
                break
            due = time.monotonic() - looked >= _LOOK
            if kind == "progress" and (due or isinstance(value, str)):
                yield kind, value
            if due:
                looked = time.monotonic()
                for name in replaced:
                    yield from self._changed(name)
        yield from self._left()
        yield kind, self._said(value) if isinstance(value, str) else value

    def _start(self) -> Child:
        assert self._luggage is not None
        luggage = self._luggage
        root, cwd, modules = unpack(luggage, self._room)
        self._child = start_child(
            self._heard, threads=luggage.threads, environment=luggage.environment, cwd=cwd, modules=modules
        )
        folder = self._study if luggage.home else None
        self._child.tell(AwayFactory(luggage.factory, luggage.device, luggage.threads, folder, root))
        return self._child

    def _next(self) -> tuple[str, Any]:
        """Return what the process says next; a process that died has said so."""
        try:
            child, message = self._heard.get(timeout=_LOOK)
        except Empty:
            return "nothing", None
        if message is None:
            ended = child.ended_with()
            child.process.kill()
            child.end(5)
            self._child = None
            return "raised", f"its process died ({ended})"
        kind, value = unpacked(message)
        return kind, value

    def _said(self, text: str) -> str:
        """Return what was said of files here, said of those of the study."""
        assert self._luggage is not None
        return text.replace(str(self._study), self._luggage.home or str(self._study))

    def _changed(self, name: str) -> Iterator[Message]:
        """Tell a file, where it is another than the one that the study has."""
        path = self._study / name
        with suppress(FileNotFoundError):
            stamp = _stamp(path)
            if self._known.get(name) != stamp:
                content = path.read_bytes()
                self._known[name] = stamp
                for start in range(0, max(1, len(content)), CHUNK):
                    yield "file", name, content[start : start + CHUNK], start + CHUNK >= len(content)

    def _left(self) -> Iterator[Message]:
        """Tell every file that a job left, and those that it removed."""
        there = {str(path.relative_to(self._study)) for path in self._study.rglob("*") if path.is_file()}
        for name in sorted(self._known.keys() - there):
            del self._known[name]
            yield "gone", name
        for name in sorted(there):
            yield from self._changed(name)

    def end(self) -> None:
        """End the process, and leave nothing behind."""
        if self._child is not None:
            self._child.process.kill()
            self._child.end(5)
        shutil.rmtree(self._room, ignore_errors=True)


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def _end_with_parent() -> None:
    """Be killed with what started this process: an actor whose node is given up must not train on."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _sweep() -> None:
    """Remove the rooms of slots that were killed."""
    for room in Path(tempfile.gettempdir()).glob(f"{_ROOM}*-*"):
        number = room.name.removeprefix(_ROOM).partition("-")[0]
        with suppress(OSError):
            if number.isdecimal() and room.stat().st_uid == os.getuid() and not _runs(int(number)):
                shutil.rmtree(room, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
