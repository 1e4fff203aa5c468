"""Messages between a process and the one that started it, over the pipes of its standard input and output.

Nobody else can reach them, nothing listens, and every operating system has them. A message is pickled by one end of the
pipe and unpickled by the other; its length goes ahead of it, so that one that was cut off is known for what it is.
"""

from __future__ import annotations

import os
import pickle
from typing import IO, Any

__all__ = ["own_streams", "receive", "send", "unpacked"]

_HEAD = 8
"""Bytes of the length."""


def send(stream: IO[bytes], message: Any) -> None:
    """Write a message; what cannot be pickled writes nothing.

    Raises:
        OSError: nobody reads any more.
    """
    body = pickle.dumps(message)
    rest = memoryview(len(body).to_bytes(_HEAD, "big") + body)
    while rest:
        rest = rest[stream.write(rest) :]


def receive(stream: IO[bytes]) -> bytes | None:
    """Read the next message, still pickled; None where the other end closed, be it in the middle of one."""
    head = _exactly(stream, _HEAD)
    return None if head is None else _exactly(stream, int.from_bytes(head, "big"))


def _exactly(stream: IO[bytes], size: int) -> bytes | None:
    parts, missing = [], size
    while missing:
        part = stream.read(min(missing, 1 << 20))
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def unpacked(message: bytes) -> Any:
    """Return what a message says, which runs code of whoever sent it: of nobody but the process at the other end."""
    return pickle.loads(message)  # noqa: S301


def own_streams() -> tuple[IO[bytes], IO[bytes]]:
    """Take standard input and output for messages: what this process reads and prints from now on goes nowhere."""
    pipes = [os.dup(number) for number in (0, 1)]
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nowhere, number)
    os.close(nowhere)
    return os.fdopen(pipes[0], "rb", buffering=0), os.fdopen(pipes[1], "wb", buffering=0)
