import hashlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lastbit.core.digests import DIGEST_BYTES, sha256_of
from lastbit.core.ulp import FLOAT_DTYPES, step_ulps

FORMATS = [*FLOAT_DTYPES, torch.bool, torch.int64, torch.complex64]


@pytest.mark.parametrize("dtype", FORMATS, ids=str)
def test_it_is_the_digest_of_the_bytes_in_their_own_format(dtype):
    raw = torch.arange(64, dtype=torch.uint8)
    x = raw % 2 == 1 if dtype == torch.bool else raw.view(dtype)
    found = sha256_of({"x": x, "turned": x.reshape(2, -1).T, "none": x[:0], "scalar": x[0]})
    assert found.shape == (4, DIGEST_BYTES)
    shaped = x.reshape(2, -1).T.contiguous()
    plain = [bytes(one.reshape(-1).view(torch.uint8).tolist()) for one in (x, shaped, x[:0], x[:1])]
    assert [row.tobytes() for row in found] == [hashlib.sha256(one).digest() for one in plain]


@given(st.integers(0, 999), st.sampled_from(list(FLOAT_DTYPES)))
def test_a_single_bit_of_a_single_element_shows_in_its_tensor_alone(place, dtype):
    x = torch.linspace(0.1, 3, 1000).to(dtype)
    nudged = x.clone()
    nudged[place] = step_ulps(x[place], 1)
    one, two = sha256_of({"a": x, "b": x}), sha256_of({"a": x, "b": nudged})
    assert (one == two).all(axis=1).tolist() == [True, False]
