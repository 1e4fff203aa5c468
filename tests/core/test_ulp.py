"""Oracles: `numpy.nextafter`, `numpy.spacing`, `math.ulp`, and for bfloat16 the float32 whose upper half it is."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.core.ulp import (
    FLOAT_DTYPES,
    from_ordered,
    step_ulps,
    to_ordered,
    ulp,
    ulp_distance,
)

DTYPES = list(FLOAT_DTYPES)
NUMPY = {torch.float64: np.float64, torch.float32: np.float32, torch.float16: np.float16}
BITS = {torch.float64: 64, torch.float32: 32, torch.bfloat16: 16, torch.float16: 16}
INT64_MAX = torch.iinfo(torch.int64).max

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
numpy_dtype = pytest.mark.parametrize("dtype", list(NUMPY), ids=str)


def from_bits(bits, dtype):
    """The floats with these unsigned bit patterns."""
    width = BITS[dtype]
    signed = [b - 2**width if b >= 2 ** (width - 1) else b for b in bits]
    return torch.tensor(signed, dtype=FLOAT_DTYPES[dtype]).view(dtype)


def bits_of(x):
    return x.contiguous().view(FLOAT_DTYPES[x.dtype])


def same_bits(a, b):
    return a.dtype == b.dtype and torch.equal(bits_of(a), bits_of(b))


def corners(dtype):
    """Zeros, subnormals, powers of two and their neighbours, extremes, infinities, NaN; of both signs."""
    info = torch.finfo(dtype)
    sub = info.smallest_normal * info.eps
    sizes = [0.0, sub, 2 * sub, info.smallest_normal - sub, info.smallest_normal, 0.5, 1.0, 2.0, 3.0]
    sizes += [1.0 + info.eps, 1.0 - info.eps / 2, info.max / 2, info.max, math.inf]
    return torch.tensor([sign * size for size in sizes for sign in (1, -1)] + [math.nan], dtype=torch.float64).to(dtype)


@st.composite
def patterns(draw, count=8):
    """A format and floats of it with any bit pattern."""
    dtype = draw(st.sampled_from(DTYPES))
    width = BITS[dtype]
    words = st.integers(0, 2**width - 1)
    # Uniform bits are rarely subnormal or near the largest number: draw those on purpose.
    top = int(bits_of(torch.tensor(torch.finfo(dtype).max, dtype=dtype)))
    near = st.one_of(st.integers(0, 40), st.integers(top - 40, top + 2))
    signed = st.builds(lambda b, negative: b | (negative << (width - 1)), near, st.integers(0, 1))
    return from_bits(draw(st.lists(st.one_of(words, signed), min_size=count, max_size=count)), dtype)


@numpy_dtype
def test_neighbours_are_numpys_nextafter(dtype):
    x = corners(dtype)
    x = x[x.isfinite()]
    array = x.numpy()
    inside = array.astype(np.float64) < torch.finfo(dtype).max
    with np.errstate(over="ignore", under="ignore"):  # numpy flags the neighbours that are subnormal or infinite
        up = np.nextafter(array, NUMPY[dtype](np.inf))
        down = np.nextafter(array, NUMPY[dtype](-np.inf))
    assert np.array_equal(step_ulps(x, 1).numpy()[inside], up[inside])
    below = array.astype(np.float64) > -torch.finfo(dtype).max
    assert np.array_equal(step_ulps(x, -1).numpy()[below], down[below])


@given(patterns())
@settings(deadline=None, max_examples=100)
def test_ulp_is_the_spacing_of_numpy_and_math(x):
    x = x[x.isfinite() & (x.abs() < torch.finfo(x.dtype).max)]
    found = ulp(x)
    if x.dtype in NUMPY:
        with np.errstate(all="ignore"):
            assert np.array_equal(found.numpy(), np.abs(np.spacing(np.abs(x.numpy()))))
    if x.dtype == torch.float64:
        assert found.tolist() == [math.ulp(value) for value in x.tolist()]
    if x.dtype == torch.bfloat16:
        # A bfloat16 is the upper half of a float32, so its ulp is 2^16 of those of the float32 of the same value.
        assert torch.equal(found.double(), ulp(x.float()).double() * 2**16)


@every_dtype
def test_ulp_at_the_ends_of_the_format(dtype):
    info = torch.finfo(dtype)
    x = torch.tensor([0.0, -0.0, info.max, -info.max, math.inf, -math.inf, math.nan], dtype=dtype)
    smallest, top = info.smallest_normal * info.eps, info.max - float(step_ulps(x[2], -1))
    assert ulp(x)[:4].double().tolist() == [smallest, smallest, top, top]
    assert ulp(x)[4:].isnan().all()
    if dtype == torch.float64:
        assert top == math.ulp(info.max)


@given(patterns())
@settings(deadline=None, max_examples=100)
def test_the_line_keeps_the_order_and_leads_back(x):
    index = to_ordered(x)
    assert index.dtype == FLOAT_DTYPES[x.dtype]
    number = ~x.isnan()
    back = from_ordered(index, x.dtype)
    assert same_bits(back[number & (x != 0)], x[number & (x != 0)])
    assert same_bits(back[x == 0], torch.zeros_like(x[x == 0]))
    pairs = zip(x[number].double().tolist(), index[number].tolist(), strict=True)
    for (a, i), (b, j) in itertools.combinations(pairs, 2):
        assert (a < b, a == b) == (i < j, i == j)


@every_dtype
def test_nan_lies_beyond_the_infinities(dtype):
    top = BITS[dtype] - 1
    positive, negative = to_ordered(from_bits([2**top - 1, 2 ** (top + 1) - 1], dtype)).tolist()
    above, below = to_ordered(torch.tensor([math.inf, -math.inf], dtype=dtype)).tolist()
    assert negative < below < 0 < above < positive


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_every_16_bit_number_has_its_place(dtype):
    x = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    x = x[~x.isnan()]
    value, place = x.double(), to_ordered(x).long()
    order = value.argsort(stable=True)
    gaps = place[order].diff()
    assert torch.equal(gaps == 0, value[order].diff() == 0)
    assert gaps.max() == 1
    assert gaps.min() == 0
    assert (gaps == 0).sum() == 1  # the two zeros


@given(patterns(), st.integers(-(2**20), 2**20))
@settings(deadline=None, max_examples=100)
def test_stepping_stays_finite_and_keeps_what_is_not(x, steps):
    moved = step_ulps(x, steps)
    assert torch.equal(moved.isfinite(), x.isfinite())
    assert same_bits(moved[~x.isfinite()], x[~x.isfinite()])
    inside = x.isfinite() & (moved.abs() < torch.finfo(x.dtype).max)
    assert (ulp_distance(x, moved)[inside] == abs(steps)).all()
    assert torch.equal(moved[inside] >= x[inside], torch.full_like(x[inside], steps >= 0, dtype=torch.bool))


@every_dtype
def test_a_large_step_stops_at_the_largest_number(dtype):
    largest = torch.finfo(dtype).max
    x = torch.tensor([largest, -largest, 1.0], dtype=dtype)
    # More than the room above the largest number in the format's own integers, which would wrap.
    steps = 2**51 if dtype == torch.float64 else 2 ** BITS[dtype]
    assert step_ulps(x, steps)[0] == largest
    assert step_ulps(x, -steps)[1] == -largest
    if dtype != torch.float64:
        assert step_ulps(x, steps).double().tolist() == [largest] * 3


def test_steps_broadcast_and_views_and_scalars_do():
    x = torch.arange(6.0).view(2, 3).t()
    steps = torch.tensor([0, 1])
    assert torch.equal(step_ulps(x, steps)[:, 1], step_ulps(x[:, 1], 1))
    assert torch.equal(step_ulps(x, steps)[:, 0], x[:, 0])
    assert ulp(torch.tensor(1.0)).shape == ()
    assert ulp(torch.empty(0, 3)).shape == (0, 3)


@given(patterns(9))
@settings(deadline=None, max_examples=100)
def test_distance_is_a_metric(x):
    x = torch.where(x.isnan(), torch.zeros_like(x), x)
    a, b, c = x.view(3, 3)
    ab, bc, ac = ulp_distance(a, b), ulp_distance(b, c), ulp_distance(a, c)
    assert ab.dtype == torch.int64
    assert torch.equal(ab, ulp_distance(b, a))
    assert (ab >= 0).all()
    assert torch.equal(ab == 0, a == b)
    for p, q, r in zip(ab.tolist(), bc.tolist(), ac.tolist(), strict=True):  # Python's integers do not wrap
        assert r <= p + q


@given(patterns(8))
@settings(deadline=None, max_examples=100)
@example(from_bits([0x7FEFFFFFFFFFFFFF, 0xFFEFFFFFFFFFFFFF, 0x4000000000000000, 0xC000000000000000], torch.float64))
def test_distance_counts_on_the_line_and_saturates(x):
    a, b = x[~x.isnan()], x[~x.isnan()].flip(0)
    exact = [abs(i - j) for i, j in zip(to_ordered(a).tolist(), to_ordered(b).tolist(), strict=True)]
    assert ulp_distance(a, b).tolist() == [min(gap, INT64_MAX) for gap in exact]


def test_distance_of_zeros_and_across_zero():
    smallest = torch.tensor([5e-324, 0.0, -0.0], dtype=torch.float64)
    other = torch.tensor([-5e-324, -0.0, 5e-324], dtype=torch.float64)
    assert ulp_distance(smallest, other).tolist() == [2, 0, 1]
    largest = torch.tensor(torch.finfo(torch.float64).max, dtype=torch.float64)
    assert int(ulp_distance(largest, -largest)) == INT64_MAX


@pytest.mark.parametrize("function", [ulp, lambda x: step_ulps(x, 1), to_ordered], ids=["ulp", "step", "ordered"])
@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.complex64, torch.float8_e4m3fn], ids=str)
def test_formats_without_a_last_bit_are_refused(function, dtype):
    with pytest.raises(LastbitError, match=rf"{dtype} tensor: use one of torch.float64"):
        function(torch.ones(2).to(dtype))


def test_formats_must_agree_and_be_known():
    with pytest.raises(LastbitError, match=r"got torch.float32 and torch.float64"):
        ulp_distance(torch.ones(1), torch.ones(1, dtype=torch.float64))
    with pytest.raises(LastbitError, match=r"torch.int32 tensor"):
        from_ordered(torch.ones(1, dtype=torch.int32), torch.int32)
