"""What a launched process writes of its optimizers while it runs: one file of lines, one of sketches.

`proc-PID-RANDOM.jsonl` in the folder of the records holds one JSON object a line, each written as it comes and by
opening the file anew: a program may close what it did not open, leave without a word, or be killed.

- `begin`: the process, with versions and the rule of the records. It comes with the first optimizer that steps.
- `optimizer`: its class, how it is perturbed or why not, how many weights, the coarsest format of them, and its tensors
  by name with their sizes.
- `refused`: an optimizer whose perturbation failed later, and why.
- `tensors`: those of an optimizer to which parameters were added.
- `step`: a recorded step, the checksum of all its weights, and where its sketch begins in the other file.
- `cadence`: steps between two records from here on.
- `end`: the steps of each optimizer, where the interpreter was left in an orderly way.

`proc-PID-RANDOM.sketches` holds, for each record, the arrays of `CountSketch` one after another: `values` and
`residuals` (tensors, 64) as float64, `fingerprints` (tensors) as int64, little-endian.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import lastbit
from lastbit.dynamics.sketch import CountSketch
from lastbit.launch.everywhere import Met

__all__ = ["SHARE", "WIDTH", "Recorder", "checksum_of"]

SHARE = 0.03
"""The part of the time since the first step that recording may take."""

SPARED = 0.1
"""Seconds that recording may take in all before its share counts: some 3% of the time in which a program imports torch.
A training of a second would leave next to no records otherwise."""

WIDTH = 64
"""Buckets of a sketch."""

_DENSE = 64
"""Records of an optimizer between two doublings of its steps: keeps the files small in a long run."""

_ASKED = 128
"""The same where the cadence is fixed, so that the records are what the run is for."""

_MOST = 256
"""Optimizers of a process that are recorded; those beyond are counted."""


def checksum_of(fingerprints: np.ndarray[Any, Any]) -> str:
    """Return 16 hexadecimal digits of the fingerprints of all tensors of an optimizer."""
    return hashlib.blake2b(fingerprints.astype("<i8").tobytes(), digest_size=8).hexdigest()


class Recorder:
    """Writes the records of this process; see the top of this file.

    Args:
        folder: where.
        every: steps between two records, a power of two, more as a long run is thinned; None chooses them so that
            recording stays below `SHARE`.
        let_go: whether the weights of an optimizer that the program is done with are let go of once another comes up.
    """

    def __init__(self, folder: Path, every: int | None, *, let_go: bool = True) -> None:
        self._folder, self._fixed, self._let_go = folder, every, let_go
        self._begin(forked=False)

    def _begin(self, *, forked: bool) -> None:
        self._name = f"proc-{os.getpid()}-{os.urandom(4).hex()}"
        self._forked = forked
        self._lock = threading.RLock()
        self._every = self._fixed or 1
        self._started = time.perf_counter()
        self._first: float | None = None
        self._spent = 0.0
        self._steps = 0
        self._known: dict[int, _Known] = {}

    def forked(self) -> None:
        """Begin anew in a child that was forked from the process that this recorded."""
        self._begin(forked=True)

    def step(self, met: Met) -> None:
        """Record the step that `met` has just taken, where it is due."""
        with self._lock:
            known = self._known.get(id(met)) or self._meet(met)
            self._steps += 1
            every = max(self._every, known.every)
            due = met.steps & (met.steps - 1) == 0 or met.steps % every == 0
            if due and known.index < _MOST:
                self._record(known)

    def finish(self) -> None:
        """Record where each optimizer stands, before the process ends."""
        # Another thread may hold the lock for good by now.
        if not self._known or not self._lock.acquire(timeout=5):
            return
        try:
            for known in self._known.values():
                if known.recorded < known.met.steps and known.index < _MOST:
                    self._record(known)
            self._write({"event": "end", "steps": [known.met.steps for known in self._known.values()]})
            self._known.clear()
        finally:
            self._lock.release()

    def _meet(self, met: Met) -> _Known:
        if not self._known:
            self._first = time.perf_counter()
            self._write(_facts(self._forked, self._fixed))
        for other in self._known.values() if self._let_go else ():
            # The program is done with it: its weights need not be kept for the end.
            if not other.met.alive and other.met.tensors():
                if other.recorded < other.met.steps and other.index < _MOST:
                    self._record(other)
                other.met.forget()
        known = self._known[id(met)] = _Known(met, len(self._known))
        if known.index < _MOST:
            sizes = known.sizes = _sizes(known.tensors())
            told = {"name": met.name, "perturbed": met.perturbed, "refused": met.refused, "left_alone": met.left_alone}
            told["format"] = _coarsest(known.tensors())
            self._write({"event": "optimizer", "index": known.index, **told, "tensors": sizes})
            known.refused = met.refused
        return known

    def _record(self, known: _Known) -> None:
        began = time.perf_counter()
        tensors = known.tensors()
        if (sizes := _sizes(tensors)) != known.sizes:
            known.sizes = sizes
            self._write({"event": "tensors", "index": known.index, "tensors": sizes})
        if known.met.refused != known.refused:
            known.refused = known.met.refused
            self._write({"event": "refused", "index": known.index, "why": known.refused})
        values, residuals, fingerprints = known.sketch(tensors)
        with (self._folder / f"{self._name}.sketches").open("ab") as file:
            at = file.tell()
            file.write(values.astype("<f8").tobytes() + residuals.astype("<f8").tobytes())
            file.write(fingerprints.astype("<i8").tobytes())
        known.recorded = known.met.steps
        line = {"event": "step", "optimizer": known.index, "step": known.met.steps, "at": at}
        line["checksum"] = checksum_of(fingerprints)
        self._write(line | {"seconds": round(began - self._started, 6)})
        known.every = _power(known.met.steps / (_ASKED if self._fixed else _DENSE))
        self._spend(time.perf_counter() - began)

    def _spend(self, seconds: float) -> None:
        """Choose how many steps lie between two records, from what they cost and how long the steps take."""
        self._spent += seconds
        if self._fixed is not None or self._first is None or self._steps < 2:
            return
        training = time.perf_counter() - self._first - self._spent
        # Powers of two, so that two runs that chose differently still have records of the same steps.
        wanted = _power(seconds / SHARE * self._steps / max(training, 1e-9))
        if self._spent > max(SHARE * training, SPARED) and wanted > self._every:
            self._every = wanted
            self._write({"event": "cadence", "every": wanted, "share": SHARE})

    def _write(self, line: dict[str, Any]) -> None:
        with (self._folder / f"{self._name}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class _Known:
    """An optimizer as its recorder knows it."""

    def __init__(self, met: Met, index: int) -> None:
        self.met, self.index = met, index
        self.sizes: list[tuple[str, int]] = []
        self.refused = ""
        self.recorded = 0
        self.every = 1
        self._plan: CountSketch | None = None

    def tensors(self) -> dict[str, Tensor]:
        return {f"opt{self.index}.{name}": tensor.detach() for name, tensor in self.met.tensors().items()}

    def sketch(self, tensors: dict[str, Tensor]) -> tuple[np.ndarray[Any, Any], ...]:
        """Return values, residuals and fingerprints of the present weights."""
        if not tensors:
            return np.zeros((0, WIDTH)), np.zeros((0, WIDTH)), np.zeros(0, dtype=np.int64)
        if self._plan is None or not self._plan.fits(tensors):
            self._plan = CountSketch(tensors, width=WIDTH)
        return tuple(self._plan(tensors).arrays().values())


def _power(least: float) -> int:
    """Return the smallest power of two that is not below `least`."""
    power = 1
    while power < least:
        power *= 2
    return power


def _coarsest(tensors: dict[str, Tensor]) -> str:
    """Return the format with the largest rounding, "" of no tensor."""
    formats = {tensor.dtype for tensor in tensors.values()}
    return str(max(formats, key=lambda one: torch.finfo(one).eps)).removeprefix("torch.") if formats else ""


def _sizes(tensors: dict[str, Tensor]) -> list[tuple[str, int]]:
    return [(name, tensor.numel()) for name, tensor in tensors.items()]


def _facts(forked: bool, every: int | None) -> dict[str, Any]:
    versions = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "lastbit": lastbit.__version__,
    }
    rank = os.environ.get("RANK", "")
    return {
        "event": "begin",
        "pid": os.getpid(),
        "program": sys.argv[0] if getattr(sys, "argv", None) else "",
        "rank": int(rank) if rank.isdigit() else None,
        "forked": forked,
        "versions": versions,
        "time": time.time(),
        "every": every,
        "share": SHARE,
    }
