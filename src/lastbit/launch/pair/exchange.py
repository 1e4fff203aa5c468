"""A process's line to the referee of a pair: it says where it stands, and hears whether its twin stands there too.

One JSON object a line goes each way. A referee that is gone is no reason to stop: the program goes on without.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lastbit.launch.pair.said import Said
from lastbit.launch.pair.tapes import ProcessFacts, write_tape

__all__ = ["Exchange", "process_key"]


LARGEST = 8 << 20
"""Bytes of a tape that is kept of a step which did no harm."""


class Exchange:
    """The line, opened when it is first used.

    Args:
        told: `address` (a path, or host and port), `token` and `side` of the pair, as the process was told.
        folder: takes the tapes that are asked for.
    """

    def __init__(self, told: Mapping[str, Any], folder: Path) -> None:
        self._told, self._folder = told, folder
        self._socket: socket.socket | None = None
        self._file: Any = None
        self._gone = False
        self.whole = True
        """Of every step all is kept until the answer comes, and is gone after it."""

    def takes(self, count: int) -> bool:
        """Tell whether a step is exchanged: every one is."""
        return True

    def tell(self, said: Said) -> bool:
        """Say where the process stands, write the tape where that is the answer, and tell whether to go on."""
        answer = self._ask(said.line, said.process)
        if answer is None:
            return False
        said.tape.ignored.update((name, place, line and tuple(line)) for name, place, line in answer["ignored"])
        word = answer["say"]
        if word in ("keep", "stop"):
            path = self._folder / f"tape-{os.getpid()}-{said.tape.count}.jsonl"
            written = write_tape(path, said.whole(), most=LARGEST if word == "keep" else None)
            self._say({"written": str(path) if written else None}, said.process)
        return bool(word != "stop")

    def _ask(self, line: Mapping[str, Any], process: ProcessFacts) -> dict[str, Any] | None:
        """Send a line and return the answer; None where there is nobody to answer."""
        if not self._say(line, process):
            return None
        try:
            answer = self._file.readline()
            said: dict[str, Any] | None = json.loads(answer) if answer else None
        except (OSError, ValueError):
            said = None
        if said is None:
            self._lost()
        return said

    def _say(self, line: Mapping[str, Any], process: ProcessFacts) -> bool:
        """Send a line, and tell whether it could be sent."""
        if self._gone:
            return False
        try:
            if self._socket is None:
                self._open(process)
            assert self._socket is not None
            self._socket.sendall(json.dumps(line).encode() + b"\n")
        except OSError:
            self._lost()
            return False
        return True

    def _open(self, process: ProcessFacts) -> None:
        address = self._told["address"]
        if isinstance(address, str):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.connect(address)
        else:
            self._socket = socket.create_connection(tuple(address))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        hello = {"key": process.key, "rank": process.rank, "program": process.program, "pid": process.pid}
        first = {"token": self._told["token"], "side": self._told["side"], **hello}
        self._socket.sendall(json.dumps(first).encode() + b"\n")

    def _lost(self) -> None:
        self._gone = True
        self.close()

    def close(self) -> None:
        """Close this process's end."""
        for one in (self._file, self._socket):
            try:
                if one is not None:
                    one.close()
            except OSError:
                pass
        self._socket = self._file = None

    def forked(self) -> None:
        """Leave the parent's line to the parent."""
        self.close()
        self._gone = False


def process_key(forks: tuple[int, ...], name: str | None) -> tuple[str, int | None, str]:
    """Return what is equal for this process and its twin in the other run, its rank and its program.

    Args:
        forks: which child of which child it is, by `os.fork`.
        name: of the program, where it is none of its own.
    """
    rank = os.environ.get("RANK", "")
    processes = sys.modules.get("multiprocessing.process")
    identity = processes.current_process()._identity if processes is not None else ()
    program = name or (sys.argv[0] if getattr(sys, "argv", None) else "")
    # Its folder may be another on another machine.
    parts = [os.path.basename(program)]
    if rank.isdigit():
        parts.append(f"rank {rank}")
    if identity:
        parts.append("process " + ".".join(map(str, identity)))
    if forks:
        parts.append("fork " + ".".join(map(str, forks)))
    return ", ".join(parts), int(rank) if rank.isdigit() else None, program
