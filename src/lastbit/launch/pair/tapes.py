"""What a process did in one step of an optimizer, as it is written and read back: a header, then an operation a line.

A tape is a file of JSON lines. The first holds `process`, `optimizer`, `step`, `parameters`, `hyper`, `generators`,
`taps` and `lost`; each other one holds an operation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

__all__ = [
    "Leaf",
    "Line",
    "Op",
    "Origin",
    "ProcessFacts",
    "Tap",
    "Tape",
    "Value",
    "read_tape",
    "tap_from",
    "write_tape",
]


@dataclass(frozen=True)
class Line:
    """A line of a program."""

    path: str
    number: int
    function: str
    text: str
    """What stands there; empty where the file cannot be read."""


@dataclass(frozen=True)
class Origin:
    """The operation that wrote a value last."""

    step: int
    """Exchanges of the process before the one in which it ran, so that the tape's own operations have its `count`."""
    op: int
    name: str
    line: Line | None


@dataclass(frozen=True)
class Value:
    """A tensor, or a number that an operation gave back, at one operation."""

    storage: int
    """Number of its memory in this process, in the order in which it was met; -1 of a number."""
    hash: str | None
    """CRC-32 of its bytes in the order of memory, as 8 hexadecimal digits; None where it cannot be known: memory that
    nobody has filled, sparse or compiled forms, or a collective's that had not arrived."""
    shape: tuple[int, ...]
    dtype: str
    place: str
    """Where it stands: `args.0`, `args.0.3` in a list, `kwargs.out`, `out.0`."""
    origin: Origin | None
    """Who wrote it last; None: it came from outside the tape."""


@dataclass(frozen=True)
class Op:
    """One operation, as PyTorch's dispatcher ran it."""

    index: int
    """Its number in the step."""
    name: str
    """As `aten.mm.default`."""
    line: Line | None
    """The user's; of a backward operation the line of its forward operation, where that is known."""
    backward: bool
    thread: int
    """0 for the main thread; others in the order in which they began."""
    threads: int
    """`torch.get_num_threads()`."""
    seeded: bool
    """Whether it draws from a generator."""
    generator: str | None
    """CRC-32 of that generator's state before it drew."""
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    """What it gave back, and after it those arguments that it wrote."""
    scalars: tuple[str, ...]
    """The other arguments, as `place=value`."""


@dataclass(frozen=True)
class Leaf:
    """A parameter of the optimizer that stepped."""

    name: str
    """As in its module where one holds it, else `group.place`."""
    shape: tuple[int, ...]
    dtype: str
    storage: int
    hash_before: str | None
    """Before the optimizer's step."""
    hash_after: str | None
    grad_storage: int | None
    grad_hash: str | None
    """After the step; None without a gradient."""


@dataclass(frozen=True)
class Tap:
    """Something that a run may have met otherwise than another: evidence, and no verdict."""

    kind: str
    """`seed`, `draw`, `entropy`, `process`, `time`, `file`, `folder`, `network`, `program`, `batch`,
    `taken` from threads or processes as it came, a `thread` that runs."""
    line: Line | None
    said: str
    """What was called and what came of it, or its digest; the last time."""
    all: str
    """CRC-32 of all that was said there up to here."""
    count: int
    """How often."""
    step: int
    """The exchanges before it, as in `Origin`."""
    op: int
    """The operations of the step before it."""


@dataclass(frozen=True)
class ProcessFacts:
    """The process that a tape is of."""

    key: str
    """By which it is told from its siblings, and found again in the other run."""
    pid: int
    program: str
    rank: int | None
    versions: Mapping[str, str]
    settings: Mapping[str, str]
    """Under which its results hold: threads, hash seed, deterministic algorithms, device."""


@dataclass(frozen=True)
class Tape:
    """One step: all operations since the process's last exchange."""

    process: ProcessFacts
    count: int
    """Exchanges of the process before this one."""
    optimizer: int
    """Its index in the process in the order of first steps; -1 where the process ended, or was stopped, without one."""
    step: int
    """Its own steps, this one included."""
    parameters: tuple[Leaf, ...]
    hyper: Mapping[str, str]
    """`group.name` of what the optimizer is set to."""
    generators: Mapping[str, str]
    """CRC-32 of the states of the global generators, after the step."""
    taps: tuple[Tap, ...]
    ops: tuple[Op, ...]
    lost: int
    """Operations at the beginning that were dropped, where there were too many."""


def write_tape(path: Path, tape: Tape, *, most: int | None = None) -> bool:
    """Write a tape, which is there only when it is whole; tell whether it is.

    Args:
        path: of the file.
        tape: what is written.
        most: bytes beyond which it is not written.
    """
    part, size = path.with_suffix(".part"), 0
    with part.open("w", encoding="utf-8") as file:
        for line in (asdict(replace(tape, ops=())), *map(asdict, tape.ops)):
            size += file.write(json.dumps(line) + "\n")
            if most is not None and size > most:
                break
        else:
            part.replace(path)
            return True
    part.unlink()
    return False


def read_tape(path: Path) -> Tape:
    """Read a tape back."""
    with path.open(encoding="utf-8") as file:
        lines = map(json.loads, file)
        head = next(lines)
        return _tape(head, lines)


def _tape(head: dict[str, Any], ops: Iterator[dict[str, Any]]) -> Tape:
    return Tape(
        ProcessFacts(**head["process"]),
        head["count"],
        head["optimizer"],
        head["step"],
        tuple(Leaf(**leaf | {"shape": tuple(leaf["shape"])}) for leaf in head["parameters"]),
        head["hyper"],
        head["generators"],
        tuple(map(tap_from, head["taps"])),
        tuple(map(_op, ops)),
        head["lost"],
    )


def tap_from(told: dict[str, Any]) -> Tap:
    """Return what a program met, as JSON holds it."""
    return Tap(**told | {"line": _line(told["line"])})


def _op(told: dict[str, Any]) -> Op:
    changed = {"line": _line(told["line"]), "scalars": tuple(told["scalars"])}
    values = {name: tuple(map(_value, told[name])) for name in ("inputs", "outputs")}
    return Op(**told | changed | values)


def _value(told: dict[str, Any]) -> Value:
    origin = told["origin"] and Origin(**told["origin"] | {"line": _line(told["origin"]["line"])})
    return Value(**told | {"shape": tuple(told["shape"]), "origin": origin})


def _line(told: dict[str, Any] | None) -> Line | None:
    return Line(**told) if told else None
