"""What printed digits hide of a value: nothing of a float32 with nine of them or more, of a float64 with fifteen."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastbit.launch.metrics.printed import significant_digits
from lastbit.launch.metrics.resolution import hidden_below

POWERS = st.integers(-27, -10)
VALUES = st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=8)


@given(VALUES, st.sampled_from([".1f", ".4f", ".3e", ".2e", ".5g"]))
def test_two_numbers_that_print_the_same_are_closer_than_what_is_hidden(values, form):
    printed = [f"{value:{form}}" for value in values]
    step = hidden_below(printed, float(printed[-1]))
    last = float(printed[-1])
    # The largest and the smallest number that print as the last does, by bisection.
    ends = []
    for far in (last - 10 * step, last + 10 * step):
        near = last
        for _ in range(60):
            middle = (near + far) / 2
            near, far = (middle, far) if f"{middle:{form}}" == printed[-1] else (near, middle)
        ends.append(near)
    assert ends[1] - ends[0] <= step * (1 + 1e-6)


FLOAT32 = st.builds(lambda half, power: (2.0**23 + 2 * half + 1) * 2.0**power, st.integers(0, 2**22 - 1), POWERS)
"""With the last bit of the significand set: a round number, such as 1, may be anybody's."""


@given(st.lists(FLOAT32, min_size=4, max_size=8), st.sampled_from(["{:.13g}", "{:.9e}", "{!r}"]))
def test_nothing_is_hidden_of_float32(values, form):
    assert [float(np.float32(value)) for value in values] == values
    printed = [form.format(value) for value in values]
    assert min(map(significant_digits, printed)) > 9
    assert hidden_below(printed, float(printed[-1])) is None


@pytest.mark.parametrize("digits", [4, 7, 9, 12, 14])
def test_a_float64_shows_no_more_than_its_digits(digits):
    values = np.random.default_rng(0).uniform(0.1, 1, 5)
    printed = [f"{value:.{digits}f}" for value in values]
    assert hidden_below(printed, float(printed[-1])) == pytest.approx(10.0**-digits)


def test_what_is_no_number_or_has_every_digit_hides_nothing():
    assert hidden_below([], 1.0) is None
    assert hidden_below(["nan", "inf"], math.inf) is None
    assert hidden_below([repr(0.1 + 0.2)], 0.1 + 0.2) is None
    assert hidden_below(["0.00"], 0.0) == 0.01
    assert hidden_below(["1,234,567"], 1234567.0) == 1
    assert hidden_below(["5e39"], 5e39) == pytest.approx(1e39)
