"""A run written down step by step, to be held against another later, on this machine or on another.

`record-PID-RANDOM.jsonl` in the folder of the records holds one JSON object a line, of one process:

- `begin`: its key, rank, program, and facts.
- `optimizer`: an optimizer's parameters, as `Leaf` without hashes, and its settings; anew where they change.
- `op`: an operation as `Op` without hashes and number; the lines count up from 0.
- `step`: a step of an optimizer with its checksums, the hashes of its parameters and gradients (`leaves`), which
  operations it took (`taken`, indices of `op` lines) and all their hashes in turn (`hashes`: for each operation its
  generator, its inputs and its outputs, those that have one), as little-endian 32-bit numbers in base64. Optimizer -1
  is what came after the last step. Operations end, and steps thin out, as `Pace` says.
- `taps`: what was met so far, at steps 1, 2, 4, 8, ... and at the end.

In an operation, memory is numbered in the order in which the step met it, so that equal steps are equal lines.
"""

from __future__ import annotations

import json
import os
import time
from array import array
from base64 import b64encode
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lastbit.launch.pair.facts import generators
from lastbit.launch.pair.pace import Pace
from lastbit.launch.pair.said import Said
from lastbit.launch.pair.tape import OpRecorder, RawOp, RawValue
from lastbit.launch.pair.tapes import Leaf
from lastbit.launch.pair.told import line_of, origin_of, scalar_of, taps_of

__all__ = ["Recording"]


class Recording:
    """The record of this process.

    Args:
        folder: takes it.
        begin: the first of a process's steps whose operations are recorded.
    """

    def __init__(self, folder: Path, begin: int) -> None:
        self._folder, self._begin = folder, begin
        self._fresh()

    def _fresh(self) -> None:
        self._name = f"record-{os.getpid()}-{os.urandom(4).hex()}.jsonl"
        self._size = 0
        self._pace = Pace()
        self._ops: dict[str, int] = {}
        self._optimizers: dict[int, str] = {}

    def forked(self) -> None:
        """Begin anew in a child."""
        self._fresh()

    @property
    def whole(self) -> bool:
        """Whether operations are recorded."""
        return self._pace.whole

    def takes(self, count: int) -> bool:
        """Tell whether a step of this number is recorded at all."""
        return self._pace.takes(count)

    def close(self) -> None:
        """Nothing is held open."""

    def tell(self, said: Said) -> bool:
        """Write a step, and tell that there are more to come."""
        lines: list[dict[str, Any]] = []
        line, tape = said.line, said.tape
        if not self._size:
            lines.append({"event": "begin", **asdict(said.process), "time": time.time()})
        numbers: dict[int, int] = {-1: -1}
        leaves, hashes = _leaves(said.leaves, numbers)
        optimizer = {"optimizer": said.optimizer, "leaves": leaves, "hyper": said.stands.hyper}
        about = json.dumps(optimizer)
        if self._optimizers.get(said.optimizer) != about:
            self._optimizers[said.optimizer] = about
            lines.append({"event": "optimizer", **optimizer})
        told = {"event": "step", **line, "leaves": hashes, "generators": generators()}
        if not self.whole:
            told["ops"] = None
        elif line["count"] >= self._begin:
            told |= self._taken(tape, numbers, lines)
        lines.append(told)
        count = line["count"] + 1
        if line["optimizer"] < 0 or count & (count - 1) == 0:
            lines.append({"event": "taps", "count": count, "taps": list(map(asdict, taps_of()))})
        text = "".join(json.dumps(one) + "\n" for one in lines)
        self._size += len(text)
        with (self._folder / self._name).open("a", encoding="utf-8") as file:
            file.write(text)
        self._pace.went(self._size, tape.spent)
        return True

    def _taken(self, tape: OpRecorder, numbers: dict[int, int], lines: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the operations of a step, and add those that are new to the lines."""
        indices, hashes = array("I"), array("I")
        for op in tape.ops:
            known = _structure(op, tape.count, numbers)
            key = json.dumps(known)
            index = self._ops.get(key)
            if index is None:
                index = self._ops[key] = len(self._ops)
                lines.append({"event": "op", **known})
            indices.append(index)
            if op.generator is not None:
                hashes.append(op.generator)
            hashes.extend(value[1] for value in (*op.inputs, *op.outputs) if value[1] is not None)
        return {"taken": _text(indices), "hashes": _text(hashes), "lost": tape.lost}


def _leaves(leaves: tuple[Leaf, ...], numbers: dict[int, int]) -> tuple[list[dict[str, Any]], list[list[str | None]]]:
    """Return what does not change of the parameters, and the hashes before, after and of the gradient."""
    fixed, hashes = [], []
    for leaf in leaves:
        about = asdict(leaf) | {"storage": _number(leaf.storage, numbers)}
        if leaf.grad_storage is not None:
            about["grad_storage"] = _number(leaf.grad_storage, numbers)
        hashes.append([about.pop(name) for name in ("hash_before", "hash_after", "grad_hash")])
        fixed.append(about)
    return fixed, hashes


def _structure(op: RawOp, count: int, numbers: dict[int, int]) -> dict[str, Any]:
    line = line_of(op.line)
    return {
        "name": op.kind.name,
        "line": None if line is None else asdict(line),
        "backward": op.backward,
        "thread": op.thread,
        "threads": op.threads,
        "seeded": op.kind.seeded,
        "generator": op.generator is not None,
        "inputs": [_shape(value, count, numbers) for value in op.inputs],
        # An output's origin is its operation.
        "outputs": [_shape((*value[:5], None), count, numbers) for value in op.outputs],
        "scalars": [f"{place}={scalar_of(value)}" for place, value in op.scalars],
    }


def _shape(value: RawValue, count: int, numbers: dict[int, int]) -> list[Any]:
    number, crc, shape, dtype, place, writer = value
    origin = None if writer is None else asdict(origin_of(writer)) | {"step": count - writer[0]}
    return [_number(number, numbers), crc is not None, list(shape), str(dtype).removeprefix("torch."), place, origin]


def _number(number: int, numbers: dict[int, int]) -> int:
    return numbers.setdefault(number, len(numbers) - 1)


def _text(numbers: array[int]) -> str:
    return b64encode(numbers.tobytes()).decode()
