"""Scalars of TensorBoard's event files, by the standard library alone, however many there are.

A file is a sequence of records (https://www.tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details"):

    uint64 length | uint32 masked CRC32C of length | data | uint32 masked CRC32C of data      (little-endian)
    masked = ((crc >> 15) | (crc << 17)) + 0xa282ead8

Each is a protocol buffer `Event` { wall_time = 1 (double); step = 2; summary = 5 { value = 1 { tag = 1; simple_value =
2 (float); tensor = 8 { dtype = 1; tensor_content = 4; float_val = 5; double_val = 6 } } } }, fields by their numbers in
event.proto, summary.proto and tensor.proto of github.com/tensorflow/tensorboard, `tensorboard/compat/proto/`; the wire
format is https://protobuf.dev/programming-guides/encoding/. PyTorch's `add_scalar` writes `simple_value` (or with
`new_style=True` a tensor), TensorFlow 2 a tensor. TensorBoard's own reader keeps 10,000 scalars by default; here all
are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lastbit.core.errors import LastbitError
from lastbit.launch.metrics.series import MetricSeries
from lastbit.launch.metrics.written import paths_below

__all__ = ["Scalar", "read_tag", "scalars"]

RECORD_LIMIT = 64 << 20
"""Bytes; a record that is longer holds pictures or sound, and is passed over."""

_DTYPES = {1: ("<f", 5), 2: ("<d", 6)}
"""DT_FLOAT and DT_DOUBLE of types.proto: the number's format, and the field that holds a list of them."""


@dataclass(frozen=True)
class Scalar:
    """One value of a tag.

    Attributes:
        tag: its name.
        step: the step that the program gave it; 0 where it gave none.
        wall_time: when it was written, seconds since 1970.
        value: the number, None for what is no scalar of float32 or float64.
    """

    tag: str
    step: int
    wall_time: float
    value: float | None


def read_tag(tag: str, folder: Path, since: float) -> MetricSeries:
    """Return the values of a tag in the event files below a folder that were written since a time.

    The event files of one folder belong together: their values are put in the order of step, then wall time. A tag that
    several folders have (`train/` and `validation/` of Keras) needs its folder before it: `validation/epoch_loss`.
    Symbolic links are not followed. A record that was cut off at the end of a file is passed over.

    Raises:
        LastbitError: there is no event file, no such tag, it is no scalar, several folders have it, or a file is
            damaged.
    """
    files = paths_below(folder, lambda name: "tfevents" in name, since)
    if not files:
        raise LastbitError(f"--metric-tag {tag}: the run wrote no TensorBoard event file below {folder}: {_CURE}")
    runs: dict[str, list[Scalar]] = {}
    tags: dict[str, None] = {}
    for path in files:
        place = path.parent.relative_to(folder).as_posix()
        for scalar in scalars(path):
            tags[scalar.tag] = None
            if scalar.tag == tag or _with_folder(place, scalar.tag, tag):
                runs.setdefault(place, []).append(scalar)
    if not runs:
        known = ", ".join(list(tags)[:10]) + (", …" if len(tags) > 10 else "")
        cure = f"choose one of {known}" if tags else _CURE
        raise LastbitError(f"--metric-tag {tag}: no event file that the run wrote has this tag: {cure}")
    if len(runs) > 1:
        names = " or ".join(f"--metric-tag {place}/{found[0].tag}" for place, found in list(runs.items())[:5])
        raise LastbitError(f"--metric-tag {tag}: {len(runs)} folders have this tag: choose one, by {names}")
    ((place, found),) = runs.items()
    found.sort(key=lambda scalar: (scalar.step, scalar.wall_time))
    values = [scalar.value for scalar in found if scalar.value is not None]
    if len(values) < len(found):
        raise LastbitError(f"--metric-tag {tag} holds more than one number a step: name the tag of a scalar")
    return MetricSeries(
        values=tuple(values),
        where=f"TensorBoard, {tag} in {place}",
        steps=tuple(scalar.step for scalar in found),
    )


_CURE = "let the program write one by SummaryWriter.add_scalar"


def _with_folder(place: str, tag: str, asked: str) -> bool:
    """Whether what is asked is the tag behind the last parts of its folder."""
    before = asked.removesuffix("/" + tag)
    return before != asked and ("/" + place).endswith("/" + before)


def scalars(path: Path) -> Iterator[Scalar]:
    """Yield every value of an event file, in the order in which they were written.

    Raises:
        LastbitError: the file is damaged, or cannot be read.
    """
    try:
        for data in _records(path):
            yield from _of_event(data)
    except (struct.error, IndexError, UnicodeDecodeError):
        raise LastbitError(
            f"{path} is no event file of TensorBoard, or damaged: let the program write it anew"
        ) from None
    except OSError as error:
        raise LastbitError(f"{path} cannot be read ({error.strerror}): let the program write it anew") from None


def _records(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    with path.open("rb") as file:
        while len(head := file.read(12)) == 12:
            length, check = struct.unpack("<QI", head)
            if _masked_crc(head[:8]) != check:
                raise IndexError
            if length + 4 > size - file.tell():
                return
            if length > RECORD_LIMIT:
                file.seek(length + 4, 1)
                continue
            data = file.read(length)
            check_data = file.read(4)
            # Only scalars are short enough for a checksum in Python.
            if length <= 256 and _masked_crc(data) != int.from_bytes(check_data, "little"):
                raise IndexError
            yield data


def _of_event(data: bytes) -> Iterator[Scalar]:
    step, wall_time, summaries = 0, 0.0, []
    for field, value in _fields(data):
        if field == 1 and isinstance(value, bytes):
            (wall_time,) = struct.unpack("<d", value)
        elif field == 2 and isinstance(value, int):
            step = value - (1 << 64) if value >> 63 else value
        elif field == 5 and isinstance(value, bytes):
            summaries.append(value)
    for summary in summaries:
        for field, value in _fields(summary):
            if field == 1 and isinstance(value, bytes):
                tag, number, known = _of_value(value)
                if known:
                    yield Scalar(tag, step, wall_time, number)


def _of_value(data: bytes) -> tuple[str, float | None, bool]:
    """The tag, its number, and whether it is a number or a tensor at all (no picture, sound, histogram)."""
    tag, number, known = "", None, False
    for field, value in _fields(data):
        if field == 1 and isinstance(value, bytes):
            tag = value.decode("utf-8")
        elif field == 2 and isinstance(value, bytes):
            (number,), known = struct.unpack("<f", value), True
        elif field == 8 and isinstance(value, bytes):
            number, known = _of_tensor(value), True
    return tag, number, known


def _of_tensor(data: bytes) -> float | None:
    dtype, content, shape, lists = 0, b"", b"", {5: b"", 6: b""}
    for field, value in _fields(data):
        if field == 1 and isinstance(value, int):
            dtype = value
        elif field == 2 and isinstance(value, bytes):
            shape = value
        elif field == 4 and isinstance(value, bytes):
            content = value
        elif field in lists and isinstance(value, bytes):
            # One value with its own tag and a packed list look the same from here: their bytes follow one another.
            lists[field] += value
    if dtype not in _DTYPES:
        return None
    form, field = _DTYPES[dtype]
    raw = content or lists[field]
    if not raw and not shape:
        # A message leaves out what is zero.
        return 0.0
    return float(struct.unpack(form, raw)[0]) if len(raw) == struct.calcsize(form) else None


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a protocol buffer: varints as numbers, all others as their bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            number, at = _varint(data, at)
            yield key >> 3, number
            continue
        if kind == 2:
            length, at = _varint(data, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise IndexError
        if at + length > len(data):
            raise IndexError
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while shift < 70:
        byte = data[at]
        number |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return number, at
        shift += 7
    raise IndexError


def _table() -> tuple[int, ...]:
    # Castagnoli's polynomial, bits reversed (RFC 3720, appendix B.4).
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _table()


def _masked_crc(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
