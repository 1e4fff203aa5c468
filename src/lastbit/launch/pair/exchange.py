"""A process's line to the referee of a pair: it says where it stands, and hears whether its twin stands there too.

One JSON object a line goes each way. A referee that is gone is no reason to stop: the program goes on without.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["Exchange", "process_key"]


class Exchange:
    """The line, opened when it is first used.

    Args:
        told: `address` (a path, or host and port), `token` and `side` of the pair, as the process was told.
    """

    def __init__(self, told: Mapping[str, Any]) -> None:
        self._told = told
        self._socket: socket.socket | None = None
        self._file: Any = None
        self.gone = False

    def ask(self, line: Mapping[str, Any], hello: Mapping[str, Any]) -> dict[str, Any] | None:
        """Send a line and return the answer; None where there is nobody to answer.

        Args:
            line: what to say.
            hello: what is said of this process first.
        """
        if not self.say(line, hello):
            return None
        try:
            answer = self._file.readline()
            said: dict[str, Any] | None = json.loads(answer) if answer else None
        except (OSError, ValueError):
            said = None
        if said is None:
            self._lost()
        return said

    def say(self, line: Mapping[str, Any], hello: Mapping[str, Any]) -> bool:
        """Send a line, and tell whether it could be sent."""
        if self.gone:
            return False
        try:
            if self._socket is None:
                self._open(hello)
            assert self._socket is not None
            self._socket.sendall(json.dumps(line).encode() + b"\n")
        except OSError:
            self._lost()
            return False
        return True

    def _open(self, hello: Mapping[str, Any]) -> None:
        address = self._told["address"]
        if isinstance(address, str):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.connect(address)
        else:
            self._socket = socket.create_connection(tuple(address))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        first = {"token": self._told["token"], "side": self._told["side"], **hello}
        self._socket.sendall(json.dumps(first).encode() + b"\n")

    def _lost(self) -> None:
        self.gone = True
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
        self.gone = False


def process_key(forks: tuple[int, ...]) -> tuple[str, int | None, str]:
    """Return what is equal for this process and its twin in the other run, its rank and its program.

    Args:
        forks: which child of which child it is, by `os.fork`.
    """
    rank = os.environ.get("RANK", "")
    processes = sys.modules.get("multiprocessing.process")
    identity = processes.current_process()._identity if processes is not None else ()
    program = sys.argv[0] if getattr(sys, "argv", None) else ""
    parts = [program]
    if rank.isdigit():
        parts.append(f"rank {rank}")
    if identity:
        parts.append("process " + ".".join(map(str, identity)))
    if forks:
        parts.append("fork " + ".".join(map(str, forks)))
    return ", ".join(parts), int(rank) if rank.isdigit() else None, program
