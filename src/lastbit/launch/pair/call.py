"""A Python function as a program of its own, so that it can be run in two processes at once.

As for `multiprocessing` with spawned processes, the function must be importable by its name; what it is called with
goes to the new process's standard input, in pickled form, and so never lies on a disk.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import spawn
from multiprocessing.reduction import ForkingPickler
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.launch.pair import called

__all__ = ["Call"]


@dataclass(frozen=True)
class Call:
    """A call of a function without arguments.

    Example:
        >>> from functools import partial
        >>> Call(partial(print, 1), "print").words[1]
        '-P'
    """

    function: Callable[[], Any]
    name: str
    """Of what it stands for: its process is known by it."""

    @property
    def words(self) -> list[str]:
        """The command that calls it."""
        # Without -P the modules beside this file would come before the user's.
        return [sys.executable, "-P", called.__file__]

    def given(self) -> bytes:
        """Return what the command reads.

        Raises:
            LastbitError: the function cannot travel to another process.
        """
        # It is a secret of this process's, and only processes that talk to each other share it.
        preparation = {name: told for name, told in spawn.get_preparation_data(self.name).items() if name != "authkey"}
        try:
            pickled = bytes(ForkingPickler.dumps(self.function))
            return bytes(ForkingPickler.dumps((preparation, pickled)))
        except Exception as error:
            first = next(iter(str(error).splitlines()), "")
            raise LastbitError(
                f"{self.name} cannot be run in two processes ({type(error).__name__}: {first}): write it as a function "
                "at the top of a file, without objects of its own that cannot be pickled"
            ) from None
