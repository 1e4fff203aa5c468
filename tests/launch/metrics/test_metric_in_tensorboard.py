"""Event files of TensorBoard, built here byte by byte from the published description of their format.

The checksum is computed bit by bit by polynomial division (the reader has a table), and messages are put together from
their fields, so that reader and test share no code.
"""

import math
import os
import struct
import time
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.launch.metrics.tensorboard import _masked_crc, read_tag, scalars

FLOAT32 = st.floats(width=32)


def crc32c(data):
    """CRC-32C by long division over the reflected bits (RFC 3720, 12.1)."""
    register = 0xFFFFFFFF
    for byte in data:
        for bit in range(8):
            top = (register ^ (byte >> bit)) & 1
            register = (register >> 1) ^ (0x82F63B78 if top else 0)
    return register ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32


def record(data):
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(length)) + data + struct.pack("<I", masked(data))


def varint(number):
    number %= 2**64
    parts = []
    while number > 127:
        parts.append(number % 128 + 128)
        number //= 128
    return bytes([*parts, number])


def message(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def simple(tag, value):
    return message(1, message(1, tag.encode()) + varint(2 << 3 | 5) + struct.pack("<f", value))


def tensor(tag, value, double=False, content=False, shape=b""):
    form, dtype, field = ("<d", 2, 6) if double else ("<f", 1, 5)
    data = varint(1 << 3) + varint(dtype) + message(2, shape)
    data += message(4 if content else field, struct.pack(form, value))
    # The metadata names the plugin, as the first value of a tag does.
    return message(1, message(1, tag.encode()) + message(9, message(1, message(1, b"scalars"))) + message(8, data))


def event(step, values=b"", wall_time=0.0):
    head = varint(1 << 3 | 1) + struct.pack("<d", wall_time) + (varint(2 << 3) + varint(step) if step else b"")
    return record(head + (message(5, values) if values else b""))


VERSION = record(varint(1 << 3 | 1) + struct.pack("<d", 0.0) + message(3, b"brain.Event:2"))


def write(folder, *events, name="events.out.tfevents.1.host"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(VERSION + b"".join(events))
    return folder / name


def test_the_checksum_is_that_of_the_standard():
    # RFC 3720, appendix B.4: 32 bytes of zeros, and of ones.
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    for data in (b"", b"123456789", bytes(range(256))):
        assert _masked_crc(data) == masked(data)


@given(st.lists(st.tuples(FLOAT32, st.sampled_from([simple, tensor])), min_size=1, max_size=5))
def test_every_float32_comes_back(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "events.out.tfevents.2.host"
    path.write_bytes(VERSION + b"".join(event(i, form("loss/val", value)) for i, (value, form) in enumerate(values)))
    read = [scalar.value for scalar in scalars(path)]
    assert np.array_equal(np.array(read), np.array([value for value, _ in values]), equal_nan=True)


def test_both_forms_and_their_variants(tmp_path):
    shape = message(2, varint(1 << 3) + varint(1))
    write(
        tmp_path / "run",
        event(1, simple("acc", 0.5) + simple("loss", 9.0)),
        event(2, tensor("acc", 0.25)),
        event(3, tensor("acc", 0.1, double=True)),
        event(4, tensor("acc", 0.3, double=True, content=True)),
        event(5, tensor("acc", 0.75, content=True, shape=shape)),
        event(-6, tensor("acc", math.inf)),
        # Zero may be left out of a message, and floats of a list may come one by one.
        event(7, message(1, message(1, b"acc") + message(8, varint(8) + varint(1)))),
        event(
            8, message(1, message(1, b"acc") + message(8, varint(8) + varint(1) + varint(45) + struct.pack("<f", 2)))
        ),
    )
    series = read_tag("acc", tmp_path, 0.0)
    assert series.values == (math.inf, 0.5, 0.25, 0.1, 0.3, 0.75, 0.0, 2.0)
    assert series.steps == (-6, 1, 2, 3, 4, 5, 7, 8)
    assert series.printed == series.digits == ()
    assert series.where == "TensorBoard, acc in run"


def test_twenty_thousand_are_all_read(tmp_path):
    many = [i / 7 for i in range(20_000)]
    # One good checksum computed bit by bit takes long; the reader's was compared above.
    start = [varint(1 << 3 | 1) + struct.pack("<d", 1.0) + varint(2 << 3) + varint(i) for i in range(len(many))]
    datas = [head + message(5, simple("loss", value)) for head, value in zip(start, many, strict=True)]
    lengths = [struct.pack("<Q", len(data)) for data in datas]
    crc = struct.Struct("<I").pack
    whole = b"".join(n + crc(_masked_crc(n)) + d + crc(_masked_crc(d)) for n, d in zip(lengths, datas, strict=True))
    write(tmp_path, whole)
    begin = time.process_time()
    assert read_tag("loss", tmp_path, 0.0).values == tuple(float(np.float32(value)) for value in many)
    assert time.process_time() - begin < 10


def test_files_of_a_folder_are_merged_by_step_then_time(tmp_path):
    write(tmp_path, event(2, simple("a", 2), 5.0), event(0, simple("a", 8), 9.0), name="events.out.tfevents.1.x")
    write(tmp_path, event(1, simple("a", 1), 6.0), event(0, simple("a", 0), 3.0), name="events.out.tfevents.2.x")
    series = read_tag("a", tmp_path, 0.0)
    assert (series.values, series.steps) == ((0.0, 8.0, 1.0, 2.0), (0, 0, 1, 2))


def test_a_tag_in_several_folders_needs_its_folder(tmp_path):
    write(tmp_path / "logs" / "train", event(1, simple("epoch_loss", 1.0)))
    write(tmp_path / "logs" / "validation", event(1, simple("epoch_loss", 2.0)))
    with pytest.raises(LastbitError, match="2 folders have this tag: choose one, by --metric-tag logs/train/ep"):
        read_tag("epoch_loss", tmp_path, 0.0)
    assert read_tag("logs/validation/epoch_loss", tmp_path, 0.0).values == (2.0,)
    assert read_tag("train/epoch_loss", tmp_path, 0.0).values == (1.0,)
    with pytest.raises(LastbitError, match="no event file that the run wrote has this tag: choose one of epoch_loss"):
        read_tag("rain/epoch_loss", tmp_path, 0.0)


@pytest.mark.parametrize("cut", [1, 4, 5, 20, 38])
def test_a_tail_that_was_cut_off_is_passed_over(tmp_path, cut):
    path = write(tmp_path, event(1, simple("a", 1)), event(2, simple("a", 2)))
    os.truncate(path, path.stat().st_size - cut)
    assert read_tag("a", tmp_path, 0.0).values == (1.0,)


@pytest.mark.parametrize("at", [0, 8, 12, 30, -2, -30])
def test_a_byte_that_fell_over_is_seen(tmp_path, at):
    path = write(tmp_path, event(1, simple("a", 1)))
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)
    with pytest.raises(LastbitError, match="is no event file of TensorBoard, or damaged"):
        read_tag("a", tmp_path, 0.0)


@given(st.binary(max_size=60))
def test_any_message_is_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "events.out.tfevents.3.host"
    path.write_bytes(record(data) + record(message(5, message(1, data))))
    with suppress(LastbitError):
        assert all(isinstance(scalar.tag, str) for scalar in scalars(path))


def test_a_length_beyond_the_file_reserves_nothing(tmp_path):
    length = struct.pack("<Q", 2**62)
    write(tmp_path, event(1, simple("a", 1)), length + struct.pack("<I", masked(length)) + b"x")
    assert read_tag("a", tmp_path, 0.0).values == (1.0,)


def test_what_is_no_scalar(tmp_path):
    picture = message(1, message(1, b"images") + message(4, b"png"))
    texts = message(1, message(1, b"text") + message(8, varint(8) + varint(7) + message(8, b"hello")))
    write(tmp_path, event(1, picture + texts + simple("a", 1)))
    with pytest.raises(LastbitError, match="has this tag: choose one of text, a"):
        read_tag("images", tmp_path, 0.0)
    with pytest.raises(LastbitError, match="holds more than one number a step: name the tag of a scalar"):
        read_tag("text", tmp_path, 0.0)


def test_links_and_older_files_are_not_read(tmp_path):
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    write(outside, event(1, simple("a", 1)))
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    (inside / "events.out.tfevents.1.host").symlink_to(outside / "events.out.tfevents.1.host")
    with pytest.raises(LastbitError, match="the run wrote no TensorBoard event file below"):
        read_tag("a", inside, 0.0)
    old = write(inside / "old", event(1, simple("a", 1)))
    os.utime(old, (0, 100.0))
    with pytest.raises(LastbitError, match=r"wrote no TensorBoard event file .*: let the program write one"):
        read_tag("a", inside, 101.0)
    assert read_tag("a", inside, 100.0).values == (1.0,)


@pytest.mark.parametrize("new_style", [False, True])
def test_what_pytorch_writes(tmp_path, new_style):
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        for step in range(100):
            writer.add_scalar("loss/val", step / 7, step, new_style=new_style)
    series = read_tag("loss/val", tmp_path, 0.0)
    assert series.values == tuple(float(np.float32(step / 7)) for step in range(100))
    assert series.steps == tuple(range(100))
