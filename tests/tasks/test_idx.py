"""The IDX reader against files written by hand, whole and damaged."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from lastbit.core.errors import LastbitError
from lastbit.tasks.data.fashion_mnist import read_idx

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(array):
    """The format, written by its definition."""
    kind = array.dtype.newbyteorder(">")
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, CODES[array.dtype.str[1:]], array.ndim, *array.shape)
    return header + array.astype(kind).tobytes()


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@given(
    array=st.sampled_from(sorted(CODES)).flatmap(
        lambda kind: nps.arrays(kind, nps.array_shapes(max_dims=4, max_side=4, min_side=0))
    )
)
@settings(deadline=None, max_examples=40)
def test_what_is_written_is_read(compress, array, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "array-idx"
    path.write_bytes(compress(idx(array)))
    read = read_idx(path)
    assert read.shape == array.shape
    np.testing.assert_array_equal(read.astype(array.dtype), array)


WHOLE = idx(np.arange(24, dtype="u1").reshape(2, 3, 4))


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "is not an IDX file: its magic number is missing"),
        (b"\x89PNG....", "is not an IDX file: its magic number is 89504e47, where 0000 and a type"),
        (b"\0\0\x07\x01" + bytes(8), "magic number is 00000701"),
        (WHOLE[:9], "is truncated: 9 bytes do not hold the sizes of its 3 axes"),
        (WHOLE[:-1], r"is truncated: an array \(2, 3, 4\) of uint8 takes 40 bytes, it has 39"),
        (WHOLE + b"\0", "has trailing bytes: .* takes 40 bytes, it has 41"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "is truncated: an array .* it has 16"),
        (gzip.compress(WHOLE, mtime=0)[:-9], "cannot be read: .* fetch it again"),
        (gzip.compress(WHOLE, mtime=0)[:12] + b"\0" * 40, "cannot be read"),
        (gzip.compress(WHOLE[:-3], mtime=0), "is truncated"),
    ],
)
def test_damaged_files_are_refused_in_one_line(data, match, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(LastbitError, match=match) as caught:
        read_idx(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(LastbitError, match="cannot be read"):
        read_idx(tmp_path / "nothing")
