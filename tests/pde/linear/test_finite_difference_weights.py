"""Finite-difference weights against published tables and against the moment system they must solve, exactly."""

from fractions import Fraction
from math import factorial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.pde.linear.operators import finite_difference_weights

# Fornberg, Math. Comp. 51 (1988), tables 1 and 2.
PUBLISHED = [
    (1, (-1, 0, 1), "-1/2 0 1/2"),
    (1, (-2, -1, 0, 1, 2), "1/12 -2/3 0 2/3 -1/12"),
    (2, (-2, -1, 0, 1, 2), "-1/12 4/3 -5/2 4/3 -1/12"),
    (2, (-3, -2, -1, 0, 1, 2, 3), "1/90 -3/20 3/2 -49/18 3/2 -3/20 1/90"),
    (3, (-2, -1, 0, 1, 2), "-1/2 1 0 -1 1/2"),
    (4, (-2, -1, 0, 1, 2), "1 -4 6 -4 1"),
    (1, (0, 1, 2, 3), "-11/6 3 -3/2 1/3"),
    (2, (0, 1, 2, 3), "2 -5 4 -1"),
]


@pytest.mark.parametrize(("order", "offsets", "weights"), PUBLISHED)
def test_published_weights(order, offsets, weights):
    assert " ".join(map(str, finite_difference_weights(order, offsets))) == weights


@settings(deadline=None, max_examples=40)
@given(st.sets(st.integers(-6, 6), min_size=1, max_size=8), st.integers(0, 5))
def test_moment_system_is_solved_exactly(offsets, order):
    points = sorted(offsets)
    if len(points) <= order:
        with pytest.raises(LastbitError, match="at least"):
            finite_difference_weights(order, points)
        return
    weights = finite_difference_weights(order, points)
    for power in range(len(points)):
        moment = sum(w * Fraction(s) ** power for w, s in zip(weights, points, strict=True))
        assert moment == (factorial(order) if power == order else 0)


@pytest.mark.parametrize(
    ("order", "offsets", "message"),
    [(-1, (0, 1), "negative"), (1, (0, 0, 1), "repeat"), (2, (0, 1), "at least 3 offsets")],
)
def test_bad_input_is_one_clear_line(order, offsets, message):
    with pytest.raises(LastbitError, match=message):
        finite_difference_weights(order, offsets)
