"""Two calls of a function in this process, one after the other, compared as two processes of a pair are.

This is for what cannot travel to another process. What differs between processes alone (hash seeds, what a first run
leaves on disk before the second begins, workers of its own) is not seen, and neither are seeds, clocks and files.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any
from zlib import crc32

import torch
from torch._compile import _disable_dynamo
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from lastbit.core.errors import LastbitError
from lastbit.launch.everywhere import Everywhere, Met
from lastbit.launch.pair.against import held_against
from lastbit.launch.pair.called import in_words
from lastbit.launch.pair.facts import settings, versions
from lastbit.launch.pair.leaves import Standing, hashes_of, names_of, standing
from lastbit.launch.pair.outcome import Pair
from lastbit.launch.pair.recorded import RunRecord, read_steps
from lastbit.launch.pair.recording import Recording
from lastbit.launch.pair.said import Said
from lastbit.launch.pair.tape import OpRecorder
from lastbit.launch.pair.tapes import ProcessFacts
from lastbit.perturb.base import Identity

__all__ = ["Called", "call_twice"]


@dataclass(frozen=True)
class Called:
    """What two calls of a function came to."""

    pair: Pair
    returned: tuple[str, str]
    """In words."""
    records: Path
    """Folder of the first call's record."""


def call_twice(function: Callable[[], Any], *, name: str, folder: Path) -> Called:
    """Call a function twice in this process, and hold the second call against the first, step by step.

    Args:
        function: trains; both calls must find the random generators alike, which is its own to see to.
        name: of what it stands for.
        folder: takes a record of each call; made where it is missing.

    Raises:
        LastbitError: no optimizer took a step.
        Exception: whatever the function raises.
    """
    records: list[RunRecord] = []
    returned: list[str] = []
    for side in ("first", "second"):
        place = folder / side / "records"
        place.mkdir(parents=True)
        returned.append(in_words(_recorded(function, name, place)))
        records.append(RunRecord((), read_steps(place)))
    if not records[0].processes and not records[1].processes:
        raise LastbitError(
            f"{name} made no optimizer step: what it trains must be updated by a torch.optim.Optimizer in this process"
        )
    pair = Pair((None, None), held_against(records[0], records[1]), 0.0, False)
    return Called(pair, (returned[0], returned[1]), folder / "first" / "records")


def _recorded(function: Callable[[], Any], name: str, folder: Path) -> Any:
    """Call a function, with every step of this thread recorded, and return what it returned."""
    one = _CallRecorder(name, folder)
    hook = register_optimizer_step_pre_hook(one.about_to_step)
    try:
        with Everywhere(Identity(), on_step=one.step), one.tape.mode():
            returned = function()
            one.finish()
    finally:
        hook.remove()
    if one.trouble is not None:
        raise one.trouble
    return returned


class _CallRecorder:
    """Writes down where every optimizer stands after each of its steps in one call."""

    def __init__(self, name: str, folder: Path) -> None:
        self.trouble: Exception | None = None
        self.tape = OpRecorder(self._stop)
        self.tape.on = True
        self._recording = Recording(folder, 0)
        self._name, self._home = name, os.getpid()
        self._facts: ProcessFacts | None = None
        self._known: dict[int, tuple[int, Met]] = {}
        self._names: dict[int, dict[str, str]] = {}
        self._before: dict[int, dict[str, str | None]] = {}

    def _stop(self, error: Exception) -> None:
        self.trouble = error

    # Compiled steps call it as it is.
    @_disable_dynamo
    def about_to_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note where an optimizer stands before its step."""
        if os.getpid() == self._home and self._recording.takes(self.tape.count):
            began = monotonic()
            with torch._C._DisableTorchDispatch():
                self._before[id(optimizer)] = hashes_of(optimizer, self.tape.memories)
            self.tape.spent += monotonic() - began

    def step(self, met: Met) -> None:
        """Write down where an optimizer stands after its step."""
        optimizer = met.optimizer
        if os.getpid() != self._home or optimizer is None:  # what a forked child trains is not the call's
            return
        began = monotonic()
        with torch._C._DisableTorchDispatch():
            index = self._known.setdefault(id(met), (len(self._known), met))[0]
            if self._recording.takes(self.tape.count):
                stands = standing(optimizer, self.tape.memories, self._before.pop(id(optimizer), {}))
                self._tell(index, met.steps, stands, optimizer, stands.checksum)
            self.tape.cut()
            self.tape.on = self._recording.whole and self.trouble is None
        self.tape.spent += monotonic() - began

    def finish(self) -> None:
        """Write down where the optimizers stand that are still there."""
        left = [met.optimizer for _, met in self._known.values() if met.optimizer is not None]
        if not self._known:
            return
        with torch._C._DisableTorchDispatch():
            stands = [standing(one, self.tape.memories, {}) for one in left]
            together = crc32(" ".join(one.checksum for one in stands).encode())
            self._tell(
                -1, 0, stands[0] if stands else Standing((), {}, 0), left[0] if left else None, f"{together:08x}"
            )

    def _tell(self, index: int, step: int, stands: Standing, optimizer: Optimizer | None, checksum: str) -> None:
        if self._facts is None:  # as they are while it trains
            self._facts = ProcessFacts(self._name, self._home, self._name, None, versions(), settings())
        named = partial(self._named, index, optimizer)
        self._recording.tell(Said(self._facts, index, step, checksum, stands, named, self.tape))

    def _named(self, index: int, optimizer: Optimizer | None) -> dict[str, str]:
        if index not in self._names:
            self._names[index] = names_of(optimizer) if optimizer is not None else {}
        return self._names[index]
