"""Processes that read batches ahead of the training that needs them.

They are started fresh and not forked, as all of lastbit's are, when the first batch is asked for, and serve every
training of their task in this process. What a batch is does not depend on them (see `Reader`).
"""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, cast
from weakref import WeakSet

from torch import Tensor

from lastbit.core.determinism import make_deterministic
from lastbit.core.errors import LastbitError
from lastbit.core.threads import own_cores, processes
from lastbit.tasks.mapped import ByPlace
from lastbit.tasks.reading import Collate, Draws, Reader, UnreadableExample
from lastbit.tasks.task_module import task_module, task_modules

__all__ = ["LoadedFeed", "Loader"]

_AHEAD = 2
"""Batches that are asked for ahead, for each process."""

_ALONE = "or write loader_workers=0"


class Loader:
    """The processes that read for the examples of one task.

    Args:
        readers: what they read, by name.
        workers: number of processes that are asked for. In a process that shares its cores with others of lastbit's
            there are no more than it has cores left, be it none.
        ahead: batches that may be asked for ahead by every process, over all trainings that take turns.
    """

    def __init__(self, readers: Mapping[str, Reader], workers: int, *, ahead: int = _AHEAD) -> None:
        self._readers = dict(readers)
        self._asked = workers
        self._ahead = ahead
        self._begin()

    def _begin(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._started: Future[None] | None = None
        self.feeds: WeakSet[LoadedFeed] = WeakSet()

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs to start its own."""
        return {"_readers": self._readers, "_asked": self._asked, "_ahead": self._ahead}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def serves(self, readers: Mapping[str, Reader], workers: int) -> bool:
        """Whether these are its readers, and its number of processes."""
        same = self._readers.keys() == readers.keys() and all(self._readers[name] is readers[name] for name in readers)
        return same and workers == self._asked

    @property
    def workers(self) -> int:
        """The number of processes here."""
        return self._asked if processes() == 1 else min(self._asked, max(0, own_cores() // processes() - 1))

    def check(self, name: str) -> None:
        """Check that what is read under that name can be sent to a process.

        Raises:
            LastbitError: it cannot be pickled.
        """
        reader = self._readers[name]
        try:
            _Checking(_Nowhere()).dump((reader.dataset, reader.collate))
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise LastbitError(
                f"{name}: {type(reader.dataset).__name__} cannot be sent to a loader process ({type(error).__name__}: "
                f"{said}): define it and its collate function at the top of a module, without lambdas and open files, "
                f"{_ALONE}"
            ) from None

    @property
    def has_room(self) -> bool:
        """Whether another batch may be asked for ahead."""
        return sum(feed.asked for feed in self.feeds) < self._ahead * self.workers

    def ask(self, name: str, indices: list[int], draws: Draws) -> Future[tuple[str, Any]]:
        """Let a process read the examples at `indices` of what has that name.

        Raises:
            LastbitError: what is read cannot be sent to it.
        """
        if self._pool is None:
            for each in self._readers:
                self.check(each)
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start,
                initargs=(cast(_Arrived, _Sent(self._readers)),),
            )
            self._started = self._pool.submit(_nothing)
        try:
            return self._pool.submit(_read, name, indices, draws)
        except BrokenProcessPool:
            raise self._died(name) from None

    def answer(self, name: str, asked: Future[tuple[str, Any]]) -> Any:
        """Wait for what was asked for.

        Raises:
            UnreadableExample: an example could not be read, or the process died.
            LastbitError: the examples make no batch, or the process cannot read at all.
        """
        try:
            kind, value = asked.result()
        except (BrokenProcessPool, CancelledError):
            raise self._died(name) from None
        if kind == "stop":
            raise LastbitError(value)
        if kind == "raised":
            raise UnreadableExample(value)
        return value

    def _died(self, name: str) -> Exception:
        """End what is left of the processes, so that the next batch starts new ones, and say what happened."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
        if self._started is not None and self._started.exception() is None:
            return UnreadableExample(
                f"a process that read {name} died, often because memory ran out, be it the shared memory of a container"
            )
        return LastbitError(
            f"{name}: a loader process ended as it started: begin what a script runs below "
            f"if __name__ == '__main__':, {_ALONE}"
        )


class LoadedFeed:
    """Batches that a loader's processes read ahead, taken in order; another order begins anew from there.

    Args:
        loader: whose processes.
        name: of what is read.
        batches: indices of every batch.
        draws: what its random draws follow from.
    """

    def __init__(self, loader: Loader, name: str, batches: Sequence[Tensor], draws: Draws) -> None:
        self._loader, self._name, self._batches, self._draws = loader, name, batches, draws
        self._queue: deque[tuple[int, Future[tuple[str, Any]]]] = deque()
        loader.feeds.add(self)

    @property
    def asked(self) -> int:
        """Batches that were asked for and not taken."""
        return len(self._queue)

    def take(self, number: int) -> Any:
        """Return a batch; see `Loader.answer` for what it raises."""
        if not self._queue or self._queue[0][0] != number:
            for _, asked in self._queue:
                asked.cancel()
            self._queue.clear()
            self._ask(number)
        _, answer = self._queue.popleft()
        following = self._queue[-1][0] + 1 if self._queue else number + 1
        while following < len(self._batches) and self._loader.has_room:
            self._ask(following)
            following += 1
        try:
            return self._loader.answer(self._name, answer)
        except Exception:
            self._queue.clear()
            raise

    def _ask(self, number: int) -> None:
        indices = self._batches[number].tolist()
        self._queue.append((number, self._loader.ask(self._name, indices, self._draws)))


class _Sending(ByPlace, ForkingPickler):
    """Sends tensors by shared memory, of which all processes see the same."""


class _Checking(ByPlace, pickle.Pickler):
    """Copies and shares nothing."""


class _Nowhere(io.RawIOBase):
    """A file that keeps nothing of what is written."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return len(data)


class _Sent:
    """What a process reads from, on its way there, pickled anew for each."""

    def __init__(self, readers: Mapping[str, Reader]) -> None:
        self._readers = readers

    def __reduce__(self) -> tuple[Callable[..., _Arrived], tuple[bytes, dict[str, str]]]:
        body = io.BytesIO()
        parts = {name: (reader.dataset, reader.collate) for name, reader in self._readers.items()}
        _Sending(body, pickle.HIGHEST_PROTOCOL).dump(parts)
        sent = body.getvalue()
        files = {name: str(path) for name, path in task_modules().items() if name.encode() in sent}
        return _Arrived, (sent, files)


class _Arrived:
    """What arrived in a process: still pickled, for it may need a user's task file."""

    def __init__(self, body: bytes, files: dict[str, str]) -> None:
        self.body, self.files = body, files


_readers: dict[str, Reader] = {}
"""In a loader process: what it reads."""

_failed: list[str] = []
"""In a loader process: why it cannot read."""


def _start(sent: _Arrived) -> None:
    """Begin as a loader process, and end with the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to deal with
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    make_deterministic()
    try:
        for name, path in sent.files.items():
            if name not in sys.modules:
                stat = Path(path).stat()
                task_module(Path(path), path, stat.st_mtime_ns, stat.st_size)
        parts: dict[str, tuple[Any, Collate]] = pickle.loads(sent.body)  # noqa: S301
        _readers.update({name: Reader(*part, name=name) for name, part in parts.items()})
    except (Exception, SystemExit) as error:
        said = " ".join(str(error).split())[:300]
        _failed.append(
            f"a loader process cannot load what it should read ({type(error).__name__}: {said}): define the dataset in "
            f"a module that can be imported, {_ALONE}"
        )


def _nothing() -> None:
    """Tell by being done that a loader process started."""


def _read(name: str, indices: list[int], draws: Draws) -> tuple[str, Any]:
    """Read a batch in a loader process; what is raised is told in words, for it may not be possible to send it."""
    if _failed:
        return "stop", _failed[0]
    try:
        return "done", _readers[name].read(indices, draws)
    except LastbitError as error:
        return "stop", str(error)
    except UnreadableExample as error:
        return "raised", str(error)
