"""One change of what a program meets, by which a supposed cause of a difference is put to the test.

Only the standard library is imported: this is loaded by `sitecustomize.py` before anything of lastbit's is.
"""

from __future__ import annotations

import builtins
import datetime
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import count
from typing import Any

from lastbit.launch.site.addresses import number_of
from lastbit.launch.site.lines import asked_by_program, for_users
from lastbit.launch.site.rearranged import REARRANGED, Calls

__all__ = ["CHANGES", "calls"]

_BEGIN = 1_700_000_000
"""What a fixed clock begins with, in seconds since 1970."""

_TICK = 1_000_000
"""Nanoseconds that pass on a fixed clock from one question to the next."""

_PID = 1 << 23
"""Beyond every number that Linux and macOS give, so that nobody else is meant where a program sends it a signal."""

_RANKS = 1 << 10

_CLOCKS = ("time", "monotonic", "perf_counter", "process_time")

_CALENDARS = ("localtime", "gmtime", "ctime")


def _seed(which: Any) -> Calls:
    """Seed generators at the start, where the program does not."""
    if "random" in which:
        random.seed(0)
    later: Calls = {}
    if "numpy" in which:
        later["numpy.random"] = lambda: sys.modules["numpy.random"].seed(0)
    if "torch" in which:
        later["torch"] = lambda: sys.modules["torch"].manual_seed(0)
    return later


def _entropy(how: Any) -> Calls:
    """Answer each request for entropy with the bytes that the same request had in the other run."""
    asked = count()

    def urandom(size: int) -> bytes:
        blocks = (sha256(f"{next(asked)}".encode()).digest() for _ in range(size // 32 + 1))
        return b"".join(blocks)[:size]

    os.urandom = urandom
    random._urandom = urandom  # type: ignore[attr-defined]
    random.seed()

    def torch_seed() -> None:
        torch: Any = sys.modules["torch"]

        def seed() -> int:
            torch.manual_seed(0)
            return 0

        torch.manual_seed(0)
        torch.seed = torch.random.seed = seed

    def version_one() -> None:
        uuid: Any = sys.modules["uuid"]
        uuid.uuid1 = lambda *args: uuid.UUID(bytes=os.urandom(16), version=1)

    if hasattr(os, "getrandom"):
        os.getrandom = lambda size, flags=0: urandom(size)
    return {"torch": torch_seed, "uuid": version_one}


def _clock(how: Any) -> Calls:
    """Let the clocks that the program's own lines ask tell the same times in each run."""
    asked = count()

    def now() -> int:
        return _BEGIN * 10**9 + next(asked) * _TICK

    wall = time.time
    for name in _CLOCKS:
        setattr(time, name, for_users(getattr(time, name), lambda: now() / 10**9))
        setattr(time, f"{name}_ns", for_users(getattr(time, f"{name}_ns"), now))
    for name in _CALENDARS:
        told = getattr(time, name)
        setattr(time, name, for_users(told, lambda *at, told=told: told(*(at or (now() / 10**9,)))))
    written = time.strftime
    time.strftime = for_users(written, lambda form, *at: written(form, *(at or (time.gmtime(now() / 10**9),))))
    plain: Any = datetime.datetime

    class Kind(type):
        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, plain)

    class Fixed(plain, metaclass=Kind):  # type: ignore[misc]
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            at = now() / 10**9 if asked_by_program(sys._getframe(1)) else wall()
            return cls.fromtimestamp(at, tz)

        @classmethod
        def utcnow(cls) -> Any:
            return cls.now(datetime.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return cls.now()

    Fixed.__name__ = Fixed.__qualname__ = "datetime"
    Fixed.__module__ = "datetime"
    datetime.datetime = Fixed  # type: ignore[misc]
    return {}


def _process(how: Any) -> Calls:
    """Give each process a number by its rank and its place among its parent's, for the program's own lines."""

    def number() -> int:
        rank = os.environ.get("RANK", "")
        multiprocessing: Any = sys.modules.get("multiprocessing.process")
        places = () if multiprocessing is None else multiprocessing.current_process()._identity
        return _PID + _RANKS * (int(rank) if rank.isdigit() else 0) + sum(places)

    os.getpid = for_users(os.getpid, number)
    return {}


def _folders(how: Any) -> Calls:
    """List every folder in sorted order."""
    system: Any = os
    listdir, scandir = system.listdir, system.scandir

    class Sorted:
        """The entries of a folder, as `os.scandir` gives them."""

        def __init__(self, *path: Any, **named: Any) -> None:
            with scandir(*path, **named) as entries:
                self._entries = iter(sorted(entries, key=lambda entry: entry.name))

        def __iter__(self) -> Iterator[Any]:
            return self._entries

        def __next__(self) -> Any:
            return next(self._entries)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *error: object) -> None: ...

        def close(self) -> None: ...

    system.listdir = lambda *path, **named: sorted(listdir(*path, **named))
    system.scandir = Sorted
    return {}


def _workers(most: Any) -> Calls:
    """Load data in the process itself."""

    def load() -> None:
        loader: Any = sys.modules["torch.utils.data.dataloader"].DataLoader
        plain = loader.__init__

        def begin(self: Any, *args: Any, **kwargs: Any) -> None:
            # Fifth and later positions are rare, and stay as they are.
            own = {"num_workers": 0, "prefetch_factor": None, "persistent_workers": False, "timeout": 0}
            plain(self, *args, **{**kwargs, **(own if len(args) <= 5 else {}), "multiprocessing_context": None})

        loader.__init__ = begin

    return {"torch.utils.data.dataloader": load}


def _addresses(how: Any) -> Calls:
    """Number objects in the order in which they are asked for, where they would be told apart by their addresses."""
    system: Any = builtins
    plain = system.__build_class__

    def build(body: Any, name: str, *bases: Any, **named: Any) -> Any:
        made = plain(body, name, *bases, **named)
        if getattr(made, "__hash__", None) is object.__hash__ and asked_by_program(sys._getframe(1)):
            made.__hash__ = number_of
        return made

    def of_torch() -> None:
        torch: Any = sys.modules["torch"]
        torch.nn.Module.__hash__ = torch.Tensor.__hash__ = number_of

    system.__build_class__ = build
    system.id = for_users(id, number_of)
    return {"torch": of_torch}


CHANGES: dict[str, Callable[[Any], Calls]] = {
    "seed": _seed,
    "entropy": _entropy,
    "clock": _clock,
    "process": _process,
    "folders": _folders,
    "workers": _workers,
    "addresses": _addresses,
    **REARRANGED,
}
"""What can be changed inside a program, by name."""


def calls(changes: dict[str, Any]) -> list[Calls]:
    """Make the changes, and return what is still to be done when modules are imported."""
    return [CHANGES[name](how) for name, how in changes.items()]
