"""A process that is started to do jobs, and the thread that listens to it.

It is started fresh (never forked, and without running the caller's main module again) and told what to do over the pipe
of its standard input (`channel`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from lastbit.train.executors.channel import receive, send
from lastbit.train.jobs import Job

__all__ = ["Child", "start_child"]


_LASTBIT = Path(__file__).parents[3]
"""The folder that this lastbit is imported from."""

_START = """
import sys
sys.path[:0] = [sys.argv[3]] * (sys.argv[3] not in sys.path)
sys.path += [folder for folder in sys.argv[4:] if folder not in sys.path]
from lastbit.train.executors.child import main
main(*map(int, sys.argv[1:3]))
"""


@dataclass(eq=False)
class Child:
    """A process that does jobs; what it says arrives in a queue that it may share with its siblings."""

    process: subprocess.Popen[bytes]
    heard: SimpleQueue[tuple[Child, bytes | None]]
    """What it says, beside what its siblings say; None is its end."""
    place: int
    """Its number among those that there are at once, from 0."""
    job: Job | None = None
    attempt: int = 0
    listener: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            message: bytes | None = b""
            while message is not None:
                message = receive(stream)
                self.heard.put((self, message))

    def tell(self, message: Any) -> None:
        """Send it a message, as `lastbit.train.executors.child` reads them."""
        assert self.process.stdin is not None
        with suppress(OSError):  # a child that is gone is found when it should answer
            send(self.process.stdin, message)

    def end(self, seconds: float) -> None:
        """Wait for it to end, and no longer than this before it is killed."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()
        # A process that it started may hold its pipe; nobody waits for that one.
        self.listener.join(1)

    def ended_with(self) -> str:
        """Return how it ended, in words."""
        try:
            code = self.process.wait(5)
        except subprocess.TimeoutExpired:
            return "it closed its pipe"
        if code == -9:
            return "killed by signal 9, often because memory ran out"
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def start_child(
    heard: SimpleQueue[tuple[Child, bytes | None]],
    *,
    threads: int,
    place: int = 0,
    environment: Mapping[str, str],
    cwd: Path | None = None,
    modules: Sequence[str],
) -> Child:
    """Start a process, which waits to be told what makes its worker.

    Args:
        heard: takes what it says.
        threads: of each operation.
        place: its number among those that there are at once.
        environment: variables that it sees in place of this process's.
        cwd: where it runs; None is here.
        modules: folders of modules, which it looks into behind Python's and the installed ones.
    """
    # -P: nothing in the working folder is imported in place of a module of Python's.
    command = [
        sys.executable,
        "-P",
        "-c",
        _START,
        str(threads),
        str(os.getpid()),
        str(_LASTBIT),
        *filter(None, modules),
    ]
    variables = {**os.environ, **environment, "OMP_NUM_THREADS": str(threads)}
    # Threads that wait for each other give their core to other programs; PyTorch reads this as it is imported.
    variables.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, bufsize=0, env=variables, cwd=cwd, stdin=pipe, stdout=pipe)
    return Child(process, heard, place)
