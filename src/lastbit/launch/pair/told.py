"""What was kept in memory, as a tape on disk holds it: text for hashes, and the lines with what stands there."""

from __future__ import annotations

import json
import linecache
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lastbit.launch.pair.tape import RawOp, RawValue
from lastbit.launch.pair.tapes import Line, Op, Origin, Tap, Value, tap_from
from lastbit.launch.pair.values import Writer
from lastbit.launch.site.handed import running
from lastbit.launch.site.lines import Place
from lastbit.launch.site.taps import Tap as RawTap
from lastbit.launch.site.taps import taps

__all__ = ["line_of", "op_of", "origin_of", "read_taps", "scalar_of", "tap_of", "taps_of", "write_taps"]


def tap_of(kept: RawTap) -> Tap:
    """Return what was met as a tape holds it."""
    return Tap(kept.kind, line_of(kept.line), f"{kept.what}: {kept.said}", f"{kept.all:08x}", kept.count, *kept.at)


def taps_of() -> list[Tap]:
    """Return what this process met so far, and the threads that the program has running."""
    return [tap_of(kept) for kept in (*taps.kept.values(), *running())]


def write_taps(path: Path, key: str) -> None:
    """Write what a process met so far.

    Args:
        path: of the file.
        key: of the process.
    """
    part = path.with_suffix(".part")
    kept = [asdict(tap_of(kept)) for kept in list(taps.kept.values())]
    part.write_text(json.dumps({"key": key, "taps": kept}), encoding="utf-8")
    part.replace(path)


def read_taps(folder: Path) -> tuple[tuple[str, tuple[Tap, ...]], ...]:
    """Return what the processes met of which nothing else was heard, with their keys."""
    found = [json.loads(path.read_text("utf-8")) for path in folder.glob("taps-*.json")]
    return tuple(sorted((told["key"], tuple(map(tap_from, told["taps"]))) for told in found))


def line_of(place: Place | None) -> Line | None:
    """Return a line with what stands there."""
    return Line(*place, linecache.getline(place[0], place[1]).strip()) if place else None


def op_of(index: int, raw: RawOp) -> Op:
    """Return an operation as a tape holds it."""
    return Op(
        index,
        raw.kind.name,
        line_of(raw.line),
        raw.backward,
        raw.thread,
        raw.threads,
        raw.kind.seeded,
        None if raw.generator is None else f"{raw.generator:08x}",
        tuple(map(_value, raw.inputs)),
        tuple(map(_value, raw.outputs)),
        tuple(f"{place}={scalar_of(value)}" for place, value in raw.scalars),
    )


def _value(raw: RawValue) -> Value:
    number, crc, shape, dtype, place, writer = raw
    return Value(
        number,
        None if crc is None else f"{crc:08x}",
        tuple(shape),
        str(dtype).removeprefix("torch."),
        place,
        origin_of(writer) if writer else None,
    )


def origin_of(writer: Writer) -> Origin:
    """Return who wrote a value, as a tape holds it."""
    step, op, name, place = writer
    return Origin(step, op, name, line_of(place))


def scalar_of(value: Any) -> str:
    """Return an argument that is no tensor as text."""
    if isinstance(value, torch.Generator):
        return "generator"
    return repr(value) if isinstance(value, (bool, int, float, complex, str, list, tuple)) else str(value)
