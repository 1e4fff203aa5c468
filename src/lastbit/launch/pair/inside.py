"""What lastbit does inside one process of a pair: keep each step's tape, exchange a checksum, write what is asked."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch._compile import _disable_dynamo
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from lastbit.launch.everywhere import Met
from lastbit.launch.pair.exchange import Exchange, process_key
from lastbit.launch.pair.facts import generators, settings, versions
from lastbit.launch.pair.leaves import Standing, hashes_of, names_of, standing
from lastbit.launch.pair.tape import OpRecorder
from lastbit.launch.pair.tapes import ProcessFacts, Tape, write_tape
from lastbit.launch.pair.told import op_of, tap_of
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
        self._exchange = Exchange(told["pair"])
        self._forks: tuple[int, ...] = ()
        self._children = 0
        self._lock = threading.RLock()
        self._known: dict[int, tuple[int, Met]] = {}
        self._before: dict[int, dict[str, str | None]] = {}
        self.tape = OpRecorder(on_trouble)
        self.tape.on = True
        self.tape.enter()
        self.tape.wrap_threads()
        taps.now = lambda: (self.tape.count, len(self.tape.ops) + self.tape.lost)
        register_optimizer_step_pre_hook(self._about_to_step)
        os.register_at_fork(before=self._forking)

    # Compiled steps call it as it is.
    @_disable_dynamo
    def _about_to_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.tape.on:
            with torch._C._DisableTorchDispatch():
                self._before[id(optimizer)] = hashes_of(optimizer, self.tape.memories)

    def step(self, met: Met) -> None:
        """Say where an optimizer stands after its step, and do as the answer says."""
        optimizer = met.optimizer
        if not self.tape.on or optimizer is None:
            return
        with self._lock, taps.muted(), torch._C._DisableTorchDispatch():
            index = self._known.setdefault(id(met), (len(self._known), met))[0]
            stands = standing(optimizer, self.tape.memories, self._before.pop(id(optimizer), {}))
            line = {"optimizer": index, "step": met.steps, "checksum": stands.checksum, "tensors": len(stands.leaves)}
            self._told(line | {"bytes": stands.size}, partial(self._tape, index, met.steps, stands, optimizer))
            self.tape.cut()

    def finish(self) -> None:
        """Say that this process ends, and where its optimizers stand."""
        if not self.tape.on or not self._known or not self._lock.acquire(timeout=5):
            return
        try:
            with taps.muted(), torch._C._DisableTorchDispatch():
                left = [met.optimizer for _, met in self._known.values()]
                stands = [standing(one, self.tape.memories, {}) for one in left if one is not None]
                together = crc32(" ".join(one.checksum for one in stands).encode())
                last = stands[0] if stands else Standing((), {}, 0)
                line = {"optimizer": -1, "step": 0, "checksum": f"{together:08x}", "tensors": 0, "bytes": 0}
                self._told(line, partial(self._tape, -1, 0, last, None))
                self.tape.on = False
                self._exchange.close()
        finally:
            self._lock.release()

    def _told(self, line: Mapping[str, Any], tape: Callable[[], Tape]) -> None:
        """Send a line, and write the tape where that is the answer."""
        count = self.tape.count
        said = {"count": count, **line, "ops": f"{self.tape.digest:08x}"}
        answer = self._exchange.ask(said, self._hello())
        word = answer["say"] if answer is not None else "alone"
        if answer is not None:
            self.tape.ignored.update((name, place, line and tuple(line)) for name, place, line in answer["ignored"])
        if word in ("keep", "stop"):
            path = self._folder / f"tape-{os.getpid()}-{count}.jsonl"
            write_tape(path, tape())
            self._exchange.say({"written": str(path)}, {})
        if word in ("stop", "alone"):
            self.tape.on = False
            self.tape.cut()
            self._exchange.close()

    def _hello(self) -> dict[str, Any]:
        key, rank, program = process_key(self._forks)
        return {"key": key, "rank": rank, "program": program, "pid": os.getpid()}

    def _forking(self) -> None:
        self._children += 1

    def forked(self) -> None:
        """Go on as a process of its own: this is the child."""
        self._forks, self._children = (*self._forks, self._children), 0
        self._lock = threading.RLock()
        self._exchange.forked()
        self._known, self._before = {}, {}
        self.tape.forked()

    def _tape(self, index: int, step: int, stands: Standing, optimizer: Optimizer | None) -> Tape:
        key, rank, program = process_key(self._forks)
        names = names_of(optimizer) if optimizer is not None else {}
        return Tape(
            ProcessFacts(key, os.getpid(), program, rank, versions(), settings()),
            self.tape.count,
            index,
            step,
            tuple(replace(leaf, name=names.get(leaf.name, leaf.name)) for leaf in stands.leaves),
            stands.hyper,
            generators(),
            tuple(map(tap_of, taps.kept.values())),
            tuple(op_of(self.tape.lost + place, raw) for place, raw in enumerate(self.tape.ops)),
            self.tape.lost,
        )
