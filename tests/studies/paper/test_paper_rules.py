"""Brackets agree, differ, or cannot tell, as interval arithmetic has it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastbit.studies.paper.rules import Bracket, agreement, most

RATIO = st.floats(0.5, 2.0)


@given(low=RATIO, width=st.floats(0.0, 0.5), foretold=st.floats(1e-6, 1e6), tolerance=st.floats(1e-3, 0.3))
def test_a_bracket_is_compared_by_its_ends(low, width, foretold, tolerance):
    bracket = Bracket(what="it", foretold=foretold, low=low * foretold, high=(low + width) * foretold)
    near, far = (bracket.low - foretold) / foretold, (bracket.high - foretold) / foretold
    inside = [-tolerance <= end <= tolerance for end in (near, far)]
    apart = near > tolerance or far < -tolerance
    assert bracket.agrees(tolerance) is (True if all(inside) else False if apart else None)
    assert bracket.deviation.low <= bracket.deviation.estimate <= bracket.deviation.high


def test_one_that_differs_decides_before_one_that_cannot_tell():
    good = Bracket(what="good", foretold=1.0, low=1.0, high=1.001)
    wide = Bracket(what="wide", foretold=1.0, low=0.9, high=1.1)
    off = Bracket(what="off", foretold=1.0, low=1.1, high=1.101)
    assert agreement([good, wide, off], 0.01) == (False, off)
    assert agreement([good, wide], 0.01) == (None, wide)
    assert agreement([good], 0.01) == (True, good)
    assert agreement([], 0.01) == (None, None)


def test_most_is_told_by_an_exact_test_at_one_in_twenty():
    answers = {(k, n): most(k, n)[0] for n in range(9) for k in range(n + 1)}
    for (k, n), answer in answers.items():
        # By hand: of n fair coins, how likely are k heads or more, and k or fewer?
        above = sum(math.comb(n, i) for i in range(k, n + 1)) / 2**n
        below = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
        assert answer is (True if above < 0.05 else False if below < 0.05 else None)
    assert answers[5, 5]
    assert answers[7, 8]
    assert answers[4, 4] is None


def test_a_threshold_of_zero_deviates_by_shares_of_a_scale_and_a_negative_one_of_its_size():
    at_zero = Bracket(what="zero", foretold=0.0, low=-0.02, high=0.01, scale=2.0)
    assert at_zero.agrees(0.01) is True
    assert at_zero.agrees(0.009) is None
    assert (at_zero.deviation.low, at_zero.deviation.high) == (-0.01, 0.005)
    negative = Bracket(what="negative", foretold=-2.0, low=-2.1, high=-2.06)
    assert negative.agrees(0.01) is False
    assert negative.agrees(0.1) is True
    assert negative.deviation.low == pytest.approx(-0.05)
