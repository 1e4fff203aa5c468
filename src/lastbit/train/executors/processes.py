"""Jobs on several processes of this machine.

Processes are started fresh (never forked, and without running the caller's main module again), hold one worker each and
take the next job when they are free, so a slow job keeps one process busy and not the grid. Jobs and results travel
over pipes between parent and child only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.train.jobs import ATTEMPTS, Crashed, Event, Finished, Job, Progressed, Started, WorkerFactory

__all__ = ["ProcessExecutor"]


_LASTBIT = Path(__file__).parents[3]
"""The folder that this lastbit is imported from."""

_START = """
import sys
sys.path[:0] = [sys.argv[4]] * (sys.argv[4] not in sys.path)
sys.path += [folder for folder in sys.argv[5:] if folder not in sys.path]
from lastbit.train.executors.child import main
main(*map(int, sys.argv[1:4]))
"""


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    connection: Connection
    job: Job | None = None
    attempt: int = 0

    def tell(self, message: Any) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # a child that is gone is found when it should answer
            self.connection.send(message)

    def heard(self) -> tuple[str, Any]:
        """Return what it says, and of what kind that is."""
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):  # OSError: it died in the middle of a message
            return "died", _exit_reason(self.process)
        return kind, value


class ProcessExecutor:
    """Runs jobs on `workers` processes with `threads` intra-op threads each.

    A process sees the working folder and the caller's own folders of modules behind Python's and the installed ones: a
    `random.py` in them is never taken for Python's.

    Args:
        factory: makes the worker of a process.
        workers: number of processes.
        threads: of each.
        environment: variables that the processes see in place of this one's.
    """

    def __init__(
        self,
        factory: WorkerFactory,
        *,
        workers: int,
        threads: int = 1,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._factory = factory
        self._workers = workers
        self._threads = threads
        self._environment = environment
        self._children: list[_Child] = []

    def _start_child(self) -> None:
        ours, theirs = Pipe()
        said = [theirs.fileno(), self._threads, os.getpid()]
        # -P: nothing in the working folder is imported in place of a module of Python's.
        command = [sys.executable, "-P", "-c", _START, *map(str, said), str(_LASTBIT), *filter(None, sys.path)]
        environment = {**os.environ, **self._environment, "OMP_NUM_THREADS": str(self._threads)}
        # Threads that wait for each other give their core to other programs; PyTorch reads this as it is imported.
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        theirs.close()
        self._children.append(_Child(process, ours))
        self._children[-1].tell(self._factory)

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> None:
        """Run every job; see `Executor.run`."""
        waiting = deque((job, 1) for job in jobs)
        try:
            while waiting or any(child.job for child in self._children):
                idle = sum(child.job is None for child in self._children)
                for _ in range(min(len(waiting) - idle, self._workers - len(self._children))):
                    self._start_child()
                for child in self._children:
                    if child.job is None and waiting:
                        child.job, child.attempt = waiting.popleft()
                        on_event(Started(child.job, child.attempt))
                        child.tell(("run", child.job.payload))
                busy = [child for child in self._children if child.job is not None]
                ready = wait([child.connection for child in busy])
                for child in busy:
                    if child.connection in ready:
                        self._receive(child, waiting, on_event)
        finally:
            self.close()

    def _receive(self, child: _Child, waiting: deque[tuple[Job, int]], on_event: Callable[[Event], None]) -> None:
        job, attempt = child.job, child.attempt
        assert job is not None
        kind, value = child.heard()
        if kind == "died":
            value = f"its process died ({value})"
            child.connection.close()
            child.process.kill()
            child.process.wait()
            self._children.remove(child)
        if kind == "progress":
            on_event(Progressed(job, value))
            return
        child.job = None
        if kind == "done":
            on_event(Finished(job, attempt, value))
        elif kind == "stop":
            raise LastbitError(value)
        else:
            final = attempt >= ATTEMPTS
            on_event(Crashed(job, attempt, value, final))
            if not final:
                waiting.append((job, attempt + 1))

    def steps_per_second(self) -> float:
        """Measure a few steps of the work on every process at once (they go on to run the jobs)."""
        while len(self._children) < self._workers:
            self._start_child()
        for request in ("ready", "measure"):
            for child in self._children:
                child.tell((request, None))
            answers: list[Any] = [self._answer(child) for child in self._children]
        return float(sum(1 / seconds for seconds in answers))

    @staticmethod
    def _answer(child: _Child) -> Any:
        kind, value = child.heard()
        if kind == "died":
            raise LastbitError(f"a worker process died before its first run ({value}): try --workers 1")
        if kind == "stop":
            raise LastbitError(value)
        if kind != "done":
            raise LastbitError(f"a worker process could not start ({value}): try --workers 1")
        return value

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        for child in self._children:
            child.connection.close()
            child.process.terminate()
        deadline = time.monotonic() + 5
        for child in self._children:
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self._children.clear()


def _exit_reason(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(5)
    except subprocess.TimeoutExpired:
        return "it closed its pipe"
    if code == -9:
        return "killed by signal 9, often because memory ran out"
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
