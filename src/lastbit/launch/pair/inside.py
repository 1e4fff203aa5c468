"""What lastbit does inside one process of a pair: keep each step's tape, exchange a checksum, write what is asked."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import monotonic  # bound here: the one that a program finds there may be replaced
from typing import Any
from zlib import crc32

import torch
from torch._compile import _disable_dynamo
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from lastbit.launch.everywhere import Met
from lastbit.launch.pair.exchange import Exchange, process_key
from lastbit.launch.pair.facts import settings, versions
from lastbit.launch.pair.kernels import follow
from lastbit.launch.pair.leaves import Standing, hashes_of, names_of, standing
from lastbit.launch.pair.recording import Recording
from lastbit.launch.pair.said import Said
from lastbit.launch.pair.stuck import Watch
from lastbit.launch.pair.tape import OpRecorder
from lastbit.launch.pair.tapes import ProcessFacts
from lastbit.launch.pair.told import write_taps
from lastbit.launch.site.taps import taps

__all__ = ["PairRecorder"]


class PairRecorder:
    """This process's part in a pair.

    Args:
        told: the message of the launch; `pair` in it is the referee's.
        on_trouble: called with an error of the tape's own.
    """

    def __init__(self, told: Mapping[str, Any], on_trouble: Callable[[Exception], None]) -> None:
        self._folder = Path(told["folder"])
        pair = told["pair"]
        self._other: Exchange | Recording = (
            Recording(self._folder, pair["begin"]) if "begin" in pair else Exchange(pair, self._folder)
        )
        self._name: str | None = pair["name"]
        self._forks: tuple[int, ...] = ()
        self._children = 0
        self._lock = threading.RLock()
        self._known: dict[int, tuple[int, Met]] = {}
        self._facts: ProcessFacts | None = None
        self._names: dict[int, dict[str, str]] = {}
        self._before: dict[int, dict[str, str | None]] = {}
        self._over = False
        """Whether there is nothing more to say."""
        self._on_trouble = on_trouble
        self.tape = OpRecorder(self._failed)
        self.tape.on = True
        self.tape.enter()
        self.tape.wrap_threads()
        taps.worker = self._loads
        taps.compiler = partial(follow, self.tape)
        taps.now = lambda: (self.tape.count, len(self.tape.ops) + self.tape.lost)
        self._watch = Watch(self._folder, pair["deadline"])
        register_optimizer_step_pre_hook(self._about_to_step)
        os.register_at_fork(before=self._forking)

    # Compiled steps call it as it is.
    @_disable_dynamo
    def _about_to_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self._over and self._other.takes(self.tape.count):
            began = monotonic()
            with torch._C._DisableTorchDispatch():
                self._before[id(optimizer)] = hashes_of(optimizer, self.tape.memories)
            self.tape.spent += monotonic() - began

    def step(self, met: Met) -> None:
        """Say where an optimizer stands after its step, and do as the answer says."""
        optimizer = met.optimizer
        if self._over or optimizer is None:
            return
        began = monotonic()
        with self._lock, taps.muted(), torch._C._DisableTorchDispatch():
            index = self._known.setdefault(id(met), (len(self._known), met))[0]
            if self._other.takes(self.tape.count):
                stands = standing(optimizer, self.tape.memories, self._before.pop(id(optimizer), {}))
                self._tell(index, met.steps, stands, optimizer, stands.checksum)
            self.tape.cut()
            self.tape.on = self._other.whole and not self._over
        self.tape.spent += monotonic() - began

    def finish(self) -> None:
        """Say that this process ends, and where its optimizers stand."""
        if not self._known and taps.writer is None and taps.kept:
            self._loads()
        if taps.writer is not None:
            taps.writer()
        if self._over or not self._known or not self._lock.acquire(timeout=5):
            return
        try:
            with taps.muted(), torch._C._DisableTorchDispatch():
                left = [met.optimizer for _, met in self._known.values()]
                stands = [standing(one, self.tape.memories, {}) for one in left if one is not None]
                together = crc32(" ".join(one.checksum for one in stands).encode())
                self._tell(-1, 0, stands[0] if stands else Standing((), {}, 0), left[0], f"{together:08x}")
                self._end()
        finally:
            self._lock.release()

    def _tell(self, index: int, step: int, stands: Standing, optimizer: Optimizer | None, checksum: str) -> None:
        """Say where an optimizer stands, and end the tape where that is the answer."""
        if self._facts is None:
            key, rank, program = process_key(self._forks, self._name)
            self._facts = ProcessFacts(key, os.getpid(), program, rank, versions(), settings())
        said = Said(self._facts, index, step, checksum, stands, partial(self._named, index, optimizer), self.tape)
        if not self._other.tell(said):
            self._end()

    def _end(self) -> None:
        self._over, self.tape.on = True, False
        self._other.close()

    def _failed(self, error: Exception) -> None:
        self._over = True
        self._on_trouble(error)

    def _loads(self) -> None:
        """Note what this process meets, of which nothing else will be heard: it trains nothing."""
        self._over, self.tape.on = True, False
        key, _, _ = process_key(self._forks, self._name)
        taps.writer = partial(write_taps, self._folder / f"taps-{os.getpid()}.json", key)

    def _named(self, index: int, optimizer: Optimizer | None) -> dict[str, str]:
        if index not in self._names:
            self._names[index] = names_of(optimizer) if optimizer is not None else {}
        return self._names[index]

    def _forking(self) -> None:
        self._children += 1

    def forked(self) -> None:
        """Go on as a process of its own: this is the child."""
        self._forks, self._children = (*self._forks, self._children), 0
        self._lock = threading.RLock()
        self._other.forked()
        taps.writer = None
        self._facts, self._known, self._before, self._names = None, {}, {}, {}
        self.tape.forked()
        self.tape.on = not self._over
