"""lastbit's end of a pair: it hears from every process of both runs, and tells them whether their twin says the same.

Processes are twins by their key and by the order in which those of one key come. The n-th line of a process is held
against the n-th of its twin, so that no two can wait for each other; who has no twin left is told to stop.
"""

from __future__ import annotations

import json
import secrets
import selectors
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from lastbit.launch.pair.noise import differing, harmless
from lastbit.launch.pair.pace import is_sampled
from lastbit.launch.pair.tapes import read_tape

__all__ = ["Found", "Referee", "TwinRecord"]

PATIENCE = 60.0
"""Seconds that a process waits for a twin that was never heard of."""

_SUSPECTS = 3

_SIDES = (0, 1)


@dataclass
class Found:
    """The first lines of two twins that differ."""

    kind: str
    """As in `Difference`."""
    count: int
    """Exchanges before it, which were equal."""
    lines: list[dict[str, Any] | None]
    tapes: list[Path | None] = field(default_factory=lambda: [None, None])


@dataclass
class TwinRecord:
    """Two processes, one of each run, and what they said."""

    key: str
    place: int
    """Among those of its key."""
    rank: int | None
    program: str
    pids: list[int | None] = field(default_factory=lambda: [None, None])
    steps: int = 0
    """Optimizer steps after which both were equal."""
    tensors: int = 0
    """Compared at the last of them."""
    size: int = 0
    """Bytes of parameters and gradients that were compared, all steps together."""
    checksums: dict[int, str] = field(default_factory=dict)
    """Of some of the steps, as in `ProcessPair`."""
    ended: list[bool] = field(default_factory=lambda: [False, False])
    """Whether it said that it ended."""
    waiting: list[dict[str, Any] | None] = field(default_factory=lambda: [None, None])
    """The lines that were not answered."""
    found: Found | None = None
    suspects: list[Found] = field(default_factory=list)
    """Steps whose operations gave other results, while what is trained was equal."""


class _Line:
    """The connection of one process."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""
        self.twin: _Twin | None = None
        self.side = 0

    def send(self, said: Mapping[str, Any]) -> None:
        with suppress(OSError):  # it is gone, which reading will tell
            self.sock.sendall(json.dumps(said).encode() + b"\n")


class _Twin:
    """Two processes and their connections."""

    def __init__(self, record: TwinRecord) -> None:
        self.record = record
        self.lines: list[_Line | None] = [None, None]
        self.gone = [False, False]
        self.since = [0.0, 0.0]
        self.owed: list[Found | None] = [None, None]
        """Whose tape is being written."""
        self.ignored: list[list[Any]] = []


class Referee:
    """Listens while it is entered.

    Args:
        folder: where its socket lies, if the path is short enough for one.
    """

    def __init__(self, folder: Path) -> None:
        self._twins: dict[str, list[_Twin]] = {}
        self._selector = selectors.DefaultSelector()
        self._token = secrets.token_hex(16)
        self._path = folder / "pair.sock"
        self._server = self._listening()
        self.over = [False, False]

    def _listening(self) -> socket.socket:
        if len(str(self._path).encode()) < 100:
            self._path.unlink(missing_ok=True)
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            server.bind(str(self._path))
            self.address: Any = str(self._path)
        else:
            server = socket.create_server(("127.0.0.1", 0))
            self.address = list(server.getsockname())
        server.listen(64)
        server.setblocking(False)
        self._selector.register(server, selectors.EVENT_READ)
        return server

    def told(self, side: int) -> dict[str, Any]:
        """Return what the processes of a run must know."""
        return {"address": self.address, "token": self._token, "side": side}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for twin in self._every():
            for line in twin.lines:
                if line is not None:
                    line.sock.close()
        self._selector.close()
        self._server.close()
        self._path.unlink(missing_ok=True)

    def _every(self) -> list[_Twin]:
        return [twin for twins in self._twins.values() for twin in twins]

    @property
    def records(self) -> list[TwinRecord]:
        """Of all twins."""
        return [twin.record for twin in self._every()]

    @property
    def settled(self) -> bool:
        """Whether a difference was found, and every process has stopped, has ended or has no more to say."""
        twins = self._every()
        return any(twin.record.found for twin in twins) and all(self._done(twin) for twin in twins)

    @staticmethod
    def _done(twin: _Twin) -> bool:
        return not any(twin.owed) and all(line is None for line in twin.lines)

    @property
    def found(self) -> bool:
        """Whether a difference was found."""
        return any(twin.record.found for twin in self._every())

    def end(self, side: int) -> None:
        """Take note that a run has ended, whatever its processes said."""
        self.over[side] = True

    def listen(self, seconds: float) -> None:
        """Hear what comes within so many seconds, and answer it."""
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                self._accept()
            else:
                self._hear(key.data)
        now = time.monotonic()
        for twin in self._every():
            self._answer(twin, now)

    def _accept(self) -> None:
        try:
            sock, _ = self._server.accept()
        except OSError:
            return
        sock.setblocking(True)
        self._selector.register(sock, selectors.EVENT_READ, _Line(sock))

    def _hear(self, line: _Line) -> None:
        try:
            got = line.sock.recv(1 << 16)
        except OSError:
            got = b""
        if not got:
            self._lost(line)
            return
        line.buffer += got
        *whole, line.buffer = line.buffer.split(b"\n")
        for text in whole:
            try:
                told = json.loads(text)
            except ValueError:
                self._lost(line)
                return
            if not self._take(line, told):
                self._lost(line)
                return

    def _take(self, line: _Line, told: dict[str, Any]) -> bool:
        """Take a line, and tell whether it is one of this pair's."""
        if line.twin is None:
            if told.get("token") != self._token:
                return False
            self._meet(line, told)
            return True
        twin, side = line.twin, line.side
        if "written" in told:
            found, twin.owed[side] = twin.owed[side], None
            if found is not None:
                found.tapes[side] = Path(told["written"]) if told["written"] else None
                if found.kind == "operations" and not any(twin.owed):
                    self._learn(twin, found)
            return True
        twin.record.waiting[side] = told
        twin.since[side] = time.monotonic()
        return True

    @staticmethod
    def _learn(twin: _Twin, kept: Found) -> None:
        """Have results that differ without consequence left out from now on."""
        if None in kept.tapes:
            return
        tapes = [read_tape(path) for path in kept.tapes if path is not None]
        found = differing(*tapes)
        twin.ignored = [list(output) for output in found]
        if all(harmless(tape, found) for tape in tapes):
            twin.record.suspects.remove(kept)

    def _meet(self, line: _Line, told: dict[str, Any]) -> None:
        side, key = told["side"], told["key"]
        twins = self._twins.setdefault(key, [])
        twin = next((one for one in twins if one.record.pids[side] is None), None)
        if twin is None:
            twin = _Twin(TwinRecord(key, len(twins), told["rank"], told["program"]))
            twins.append(twin)
        line.twin, line.side = twin, side
        twin.lines[side] = line
        twin.record.pids[side] = told["pid"]

    def _lost(self, line: _Line) -> None:
        self._selector.unregister(line.sock)
        line.sock.close()
        if line.twin is not None:
            twin, side = line.twin, line.side
            twin.lines[side], twin.owed[side] = None, None
            twin.record.waiting[side] = None
            twin.gone[side] = True

    def _answer(self, twin: _Twin, now: float) -> None:
        """Answer two twins that both wait, or one whose twin will not come."""
        lines = twin.record.waiting
        if all(lines):
            if not any(twin.owed):
                self._compare(twin)
            return
        for side in _SIDES:
            other = 1 - side
            if lines[side] is None:
                continue
            absent = twin.record.pids[other] is None
            if twin.gone[other] or (absent and (self.over[other] or now - twin.since[side] > PATIENCE)):
                self._find(twin, "alone" if absent else "length")

    def _compare(self, twin: _Twin) -> None:
        first, second = twin.record.waiting
        assert first is not None
        assert second is not None
        steps = [(line["optimizer"], line["step"]) for line in (first, second)]
        if steps[0] != steps[1]:
            self._find(twin, "length" if -1 in (steps[0][0], steps[1][0]) else "path")
        elif first["checksum"] != second["checksum"]:
            self._find(twin, "values" if first["optimizer"] >= 0 else "end")
        else:
            self._agree(twin, first, second)

    def _agree(self, twin: _Twin, first: dict[str, Any], second: dict[str, Any]) -> None:
        record = twin.record
        word = "on"
        if is_sampled(first["count"]):
            record.checksums[first["count"]] = first["checksum"]
        if first["optimizer"] < 0:
            record.ended = [True, True]
        else:
            record.steps += 1
            record.tensors = first["tensors"]
            record.size += first["bytes"]
            if first["ops"] != second["ops"] and len(record.suspects) < _SUSPECTS:
                word = "keep"
                kept = Found("operations", first["count"], [first, second])
                record.suspects.append(kept)
                twin.owed = [kept, kept]
        self._say(twin, word)

    def _find(self, twin: _Twin, kind: str) -> None:
        record = twin.record
        found = record.found = Found(kind, record.steps, list(record.waiting))
        twin.owed = [found if line is not None else None for line in record.waiting]
        self._say(twin, "stop")

    def _say(self, twin: _Twin, word: str) -> None:
        for side in _SIDES:
            line = twin.lines[side]
            if twin.record.waiting[side] is not None and line is not None:
                twin.record.waiting[side] = None
                line.send({"say": word, "ignored": twin.ignored})
        twin.ignored = []
