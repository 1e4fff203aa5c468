"""Records of runs, read back: as the run left them, or from the one file in which a run is handed on."""

from __future__ import annotations

import gzip
import json
import shutil
from array import array
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lastbit.core.errors import LastbitError
from lastbit.launch.pair.tapes import Leaf, Line, Op, Origin, ProcessFacts, Tap, Tape, Value, tap_from

__all__ = ["FORMAT", "ProcessSteps", "RunRecord", "load_record", "read_steps", "save_record"]

FORMAT = 1
"""Version of the form in which records are written."""

_NAME = "lastbit record"


@dataclass
class ProcessSteps:
    """The steps of one process."""

    begin: dict[str, Any]
    place: int = 0
    """Among those of its key."""
    steps: list[dict[str, Any]] = field(default_factory=list)
    """The `step` lines, in order."""
    places: dict[int, int] = field(default_factory=dict)
    """Of each step among them, by the number of steps before it."""
    _ops: list[dict[str, Any]] = field(default_factory=list)
    _optimizers: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    """By optimizer and the number of steps before, where it was said anew."""
    _taps: dict[int, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, int]:
        """Equal for this process and its twin."""
        return self.begin["key"], self.place

    def take(self, line: dict[str, Any]) -> None:
        """Take the next line."""
        event = line.pop("event")
        if event == "step":
            self.places[line["count"]] = len(self.steps)
            self.steps.append(line)
        elif event == "op":
            self._ops.append(line)
        elif event == "optimizer":
            self._optimizers[line["optimizer"], len(self.steps)] = line
        elif event == "taps":
            self._taps[line["count"]] = line["taps"]

    def at(self, count: int) -> dict[str, Any] | None:
        """Return the step before which there were so many, where it is recorded."""
        place = self.places.get(count)
        return None if place is None else self.steps[place]

    @property
    def ended(self) -> bool:
        """Whether it came to its end."""
        return bool(self.steps) and self.steps[-1]["optimizer"] < 0

    @property
    def whole(self) -> bool:
        """Whether every step is recorded."""
        return len(self.steps) == self.taken + self.ended

    @property
    def taken(self) -> int:
        """Steps that it took; up to the last that is recorded, where it did not come to its end."""
        return self.steps[-1]["count"] + (not self.ended) if self.steps else 0

    @property
    def met(self) -> tuple[Tap, ...]:
        """What it met from its beginning to where that was last written down."""
        return tuple(tap_from(tap) for tap in self._taps[max(self._taps)]) if self._taps else ()

    def parameters(self, optimizer: int, place: int) -> dict[str, Any]:
        """Return what was said of an optimizer before the step at `place`: `leaves` and `hyper`."""
        said = [(at, told) for (index, at), told in self._optimizers.items() if index == optimizer and at <= place]
        return max(said, key=lambda one: one[0])[1] if said else {"leaves": [], "hyper": {}}

    def tape(self, place: int) -> Tape | None:
        """Return the tape of the step at `place`; None where its operations were not recorded."""
        step = self.steps[place]
        if "taken" not in step:
            return None
        about = self.parameters(step["optimizer"], place)
        hashes = iter(_numbers(step["hashes"]))
        met = [count for count in self._taps if count > step["count"]]
        return Tape(
            ProcessFacts(**{name: told for name, told in self.begin.items() if name not in ("event", "time")}),
            step["count"],
            step["optimizer"],
            step["step"],
            tuple(_leaf(leaf, told) for leaf, told in zip(about["leaves"], step["leaves"], strict=True)),
            about["hyper"],
            step["generators"],
            tuple(tap_from(tap) for tap in self._taps[min(met)]) if met else (),
            tuple(
                _op(self._ops[index], step["lost"] + number, step["count"], hashes)
                for number, index in enumerate(_numbers(step["taken"]))
            ),
            step["lost"],
        )


@dataclass(frozen=True)
class RunRecord:
    """The record of a run."""

    words: tuple[str, ...]
    processes: tuple[ProcessSteps, ...]
    cut: bool = False
    """Whether the time ran out, so that where it ends says nothing."""

    @property
    def ranks(self) -> tuple[int, ...]:
        """Those of its processes that have one."""
        return tuple(sorted({one.begin["rank"] for one in self.processes if one.begin["rank"] is not None}))


def read_steps(folder: Path) -> tuple[ProcessSteps, ...]:
    """Return the processes recorded in a folder; a line that was not written to its end is left out."""
    found = []
    for path in folder.glob("record-*.jsonl"):
        with path.open("rb") as file:
            found.append(_process(_whole(file)))
    return _placed([one for one in found if one is not None])


def save_record(words: tuple[str, ...], folder: Path, file: Path) -> None:
    """Write a run's records as one file.

    Args:
        words: the command.
        folder: of the records.
        file: what is written, compressed by gzip.

    Raises:
        LastbitError: it cannot be written.
    """
    paths = sorted(folder.glob("record-*.jsonl"))
    part = file.with_name(file.name + ".part")
    try:
        with gzip.open(part, "wb", compresslevel=6) as out:
            head = {"name": _NAME, "format": FORMAT, "words": list(words)}
            out.write(json.dumps(head).encode() + b"\n")
            for path in paths:
                with path.open("rb") as one:
                    shutil.copyfileobj(one, out)
        part.replace(file)
    except OSError as error:
        raise LastbitError(f"the record cannot be written to {file}: {error.strerror or error}") from None


def load_record(file: Path) -> RunRecord:
    """Read the record of a run.

    Raises:
        LastbitError: it is not there, or is none, or of another version of lastbit's.
    """
    try:
        with gzip.open(file, "rb") as lines:
            head = json.loads(lines.readline())
            if not isinstance(head, dict) or head.get("name") != _NAME:
                raise ValueError
            if head["format"] != FORMAT:
                raise LastbitError(
                    f"{file} has format {head['format']} of records, this lastbit reads {FORMAT}: record it anew"
                )
            processes: list[ProcessSteps] = []
            for line in map(json.loads, lines):
                if line["event"] == "begin":
                    processes.append(ProcessSteps(line))
                else:
                    processes[-1].take(line)
    except FileNotFoundError:
        raise LastbitError(f"there is no record {file}: write one by lastbit doctor --record FILE") from None
    except IsADirectoryError:
        raise LastbitError(f"{file} is a folder: name the file that --record wrote") from None
    except (OSError, EOFError, ValueError, KeyError, IndexError):
        raise LastbitError(f"{file} is no record of a run: name a file that --record wrote") from None
    return RunRecord(tuple(head["words"]), _placed(processes))


def _whole(lines: Any) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            return


def _process(lines: Iterator[dict[str, Any]]) -> ProcessSteps | None:
    begin = next(lines, None)
    if begin is None:
        return None
    process = ProcessSteps(begin)
    for line in lines:
        process.take(line)
    return process


def _placed(processes: list[ProcessSteps]) -> tuple[ProcessSteps, ...]:
    """Number those of one key in the order in which they began."""
    seen: dict[str, int] = {}
    processes.sort(key=lambda one: float(one.begin["time"]))
    for process in processes:
        process.place = seen.get(process.begin["key"], 0)
        seen[process.begin["key"]] = process.place + 1
    return tuple(processes)


def _numbers(text: str) -> array[int]:
    numbers = array("I")
    numbers.frombytes(b64decode(text))
    return numbers


def _leaf(told: dict[str, Any], hashes: list[str | None]) -> Leaf:
    before, after, grad = hashes
    return Leaf(**told | {"shape": tuple(told["shape"]), "hash_before": before, "hash_after": after, "grad_hash": grad})


def _op(told: dict[str, Any], index: int, count: int, hashes: Iterator[int]) -> Op:
    line = None if told["line"] is None else Line(**told["line"])
    generator = f"{next(hashes):08x}" if told["generator"] else None
    return Op(
        index,
        told["name"],
        line,
        told["backward"],
        told["thread"],
        told["threads"],
        told["seeded"],
        generator,
        tuple(_value(value, count, hashes, None) for value in told["inputs"]),
        tuple(_value(value, count, hashes, Origin(count, index, told["name"], line)) for value in told["outputs"]),
        tuple(told["scalars"]),
    )


def _value(told: list[Any], count: int, hashes: Iterator[int], origin: Origin | None) -> Value:
    storage, hashed, shape, dtype, place, written = told
    if written is not None:
        line = None if written["line"] is None else Line(**written["line"])
        origin = Origin(count - written["step"], written["op"], written["name"], line)
    return Value(storage, f"{next(hashes):08x}" if hashed else None, tuple(shape), dtype, place, origin)
