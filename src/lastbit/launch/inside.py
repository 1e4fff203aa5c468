"""What lastbit does inside a program that it launched: perturb every optimizer and write down where each stands.

It begins when the program has imported torch and stays until the process ends. A forked child goes on by itself.
"""

from __future__ import annotations

import atexit
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol

from lastbit.core.determinism import make_deterministic
from lastbit.launch.everywhere import Everywhere, Met
from lastbit.launch.settings import perturbation_of

__all__ = ["begin"]


class _Recording(Protocol):
    """What is told of every step."""

    def step(self, met: Met) -> None: ...

    def forked(self) -> None: ...

    def finish(self) -> None: ...


class _Inside:
    """Everything of lastbit's in this process; what goes wrong in it stays in it."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self._folder = Path(told["folder"])
        self._silent = False
        self._recorder = self._recording(told)
        self.everywhere = Everywhere(perturbation_of(told), on_step=self._step, strict=False)

    def _recording(self, told: Mapping[str, Any]) -> _Recording:
        if told.get("forced") is not None:
            from lastbit.launch.forced.inside import ForcedPart

            return ForcedPart(told, self._trouble)
        if told.get("pair") is None:
            from lastbit.launch.record import Recorder

            return Recorder(self._folder, told["every"])
        from lastbit.launch.pair.inside import PairRecorder

        return PairRecorder(told, self._trouble)

    def _step(self, met: Met) -> None:
        self._try(lambda: self._recorder.step(met))

    def forked(self) -> None:
        """Count and record anew: this is the child."""
        self.everywhere.steps = 0
        for met in self.everywhere.met:
            met.steps = 0
        self._recorder.forked()

    def finish(self) -> None:
        """Record where the optimizers stand at the end."""
        self._try(self._recorder.finish)

    def _try(self, work: Callable[[], None]) -> None:
        """Do what is lastbit's own; of an error one line is kept, and no more is recorded in this process."""
        if self._silent:
            return
        try:
            work()
        except Exception as error:
            self._trouble(error)

    def _trouble(self, error: Exception) -> None:
        self._silent = True
        said = f"{type(error).__name__}: {error}".replace("\n", " ")
        try:
            with (self._folder / f"trouble-{os.getpid()}.txt").open("a", encoding="utf-8") as file:
                file.write(f"recording stopped: {said}\n")
        except OSError:
            pass


_inside: _Inside | None = None
"""The one of this process, where there is one."""


def begin(told: Mapping[str, Any]) -> None:
    """Perturb and record every optimizer that steps in this process from now on.

    Args:
        told: the message of `LaunchSettings`.
    """
    global _inside
    if _inside is not None:
        return
    if told["deterministic"]:
        make_deterministic()
        # An operation that has no deterministic form says so on stderr, which is the program's own.
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
    _inside = _Inside(told)
    _inside.everywhere.__enter__()
    os.register_at_fork(after_in_child=_inside.forked)
    atexit.register(_inside.finish)
    _record_before_exit(_inside)


def _record_before_exit(inside: _Inside) -> None:
    """Have `os._exit`, by which forked children end too, record before it ends the process."""
    leave = os._exit

    def _exit(status: int) -> NoReturn:
        inside.finish()
        leave(status)

    os._exit = _exit
