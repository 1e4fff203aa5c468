"""What was kept in memory, as a tape on disk holds it: text for hashes, and the lines with what stands there."""

from __future__ import annotations

import linecache
from typing import Any

import torch

from lastbit.launch.pair.tape import RawOp, RawValue
from lastbit.launch.pair.tapes import Line, Op, Origin, Tap, Value
from lastbit.launch.site.lines import Place
from lastbit.launch.site.taps import Tap as RawTap

__all__ = ["line_of", "op_of", "scalar_of", "tap_of"]


def tap_of(kept: RawTap) -> Tap:
    """Return what was met as a tape holds it."""
    return Tap(kept.kind, line_of(kept.line), f"{kept.what}: {kept.said}", f"{kept.all:08x}", kept.count, *kept.at)


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
        Origin(*writer) if writer else None,
    )


def scalar_of(value: Any) -> str:
    """Return an argument that is no tensor as text."""
    if isinstance(value, torch.Generator):
        return "generator"
    return repr(value) if isinstance(value, (bool, int, float, complex, str, list, tuple)) else str(value)
