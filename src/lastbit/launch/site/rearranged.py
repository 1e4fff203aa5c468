"""Changes of the order in which things come, of the names that they get, and of memory that nobody has filled.

Only the standard library is imported: this is loaded by `sitecustomize.py` before anything of lastbit's is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from lastbit.launch.site.lines import for_users

__all__ = ["REARRANGED", "Calls"]

Calls = dict[str, Callable[[], None]]
"""What is done once a module has been imported, by its name."""


def _order(how: Any) -> Calls:
    """Give results of threads and processes in the order in which they were asked for."""

    def futures() -> None:
        modules: Any = sys.modules["concurrent.futures"], sys.modules["concurrent.futures._base"]
        made, begin, plain = count(), modules[1].Future.__init__, modules[1].as_completed

        def numbered(future: Any) -> None:
            begin(future)
            future._lastbit_number = next(made)

        def as_completed(fs: Any, timeout: float | None = None) -> Iterator[Any]:
            for future in sorted(set(fs), key=lambda one: one._lastbit_number):
                yield from plain([future], timeout)

        modules[1].Future.__init__ = numbered
        for module in modules:
            module.as_completed = as_completed

    def pool() -> None:
        kind: Any = sys.modules["multiprocessing.pool"].Pool
        kind.imap_unordered = kind.imap

    return {"concurrent.futures": futures, "multiprocessing.pool": pool}


def _names(how: Any) -> Calls:
    """Let names that are chosen at random follow each other in the order in which they are made."""
    made = count()

    def temporary() -> None:
        module: Any = sys.modules["tempfile"]
        # Runs share folders, and each name is of one of them alone.
        module._RandomNameSequence.__next__ = lambda self: f"{os.getpid():08d}{next(made):08d}"

    def unique() -> None:
        module: Any = sys.modules["uuid"]
        module.uuid4 = lambda: module.UUID(int=next(made) << 80 | os.getpid(), version=4)

    return {"tempfile": temporary, "uuid": unique}


def _memory(how: Any) -> Calls:
    """Fill with zeros the memory that the program's own lines ask NumPy for."""

    def numpy() -> None:
        module: Any = sys.modules["numpy"]
        module.empty = for_users(module.empty, module.zeros)
        module.empty_like = for_users(module.empty_like, module.zeros_like)

    return {"numpy": numpy}


REARRANGED: dict[str, Callable[[Any], Calls]] = {"order": _order, "names": _names, "memory": _memory}
"""What can be changed, by name."""
