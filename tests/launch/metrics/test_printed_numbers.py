"""Numbers as programs print them, and what is none."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastbit.launch.metrics.printed import printed_number, significant_digits

FLOATS = st.floats(allow_nan=False)


@given(FLOATS)
def test_a_number_comes_back_to_the_bit(x):
    assert printed_number(repr(x)).value == x
    assert printed_number(f"{x:.17e}").value == x


@given(st.integers(-(10**15), 10**15))
def test_thousands_come_back(n):
    assert printed_number(f"{n:,}").value == n


@given(FLOATS.filter(math.isfinite), st.integers(0, 12))
def test_digits_are_those_of_the_format(x, decimals):
    text = f"{x:.{decimals}e}"
    assert significant_digits(text) == (decimals + 1 if float(text) else max(1, decimals))


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("91%", 91.0, "%"),
        ("91.5 %,", 91.5, "%"),
        (".5", 0.5, ""),
        ("5.", 5.0, ""),
        ("3.2s", 3.2, "s"),
        ("12ms/step", 12.0, "ms/step"),
        ("9910/10000", 9910.0, "/10000"),
        ("1,234,567", 1234567.0, ""),
        ("−0.5", -0.5, ""),
        ("'0.69'", 0.69, ""),
        ("tensor(0.25, device='cuda:0')", None, ""),
        ("tensor(0.25)", 0.25, ""),
        ("np.float64(0.5)", 0.5, ""),
        ("-inf", -math.inf, ""),
        ("Infinity", math.inf, ""),
    ],
)
def test_forms_that_are_read(text, value, unit):
    number = printed_number(text)
    assert (number.value, number.unit) == (value, unit) if value is not None else number is None


@pytest.mark.parametrize(
    "text",
    [
        "0,912",
        "1.2.3",
        "12:30",
        "2026-11-27",
        "11/27/2026",
        "0.5-0.6",
        "0x1F",
        "info",
        "none",
        "",
        "1_000",
        "1,2345",
        "9" * 2000,
    ],
)
def test_what_would_be_another_number_is_none(text):
    assert printed_number(text) is None
