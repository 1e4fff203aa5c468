"""Brackets agree, differ, or cannot tell, as interval arithmetic has it."""

from hypothesis import given
from hypothesis import strategies as st

from lastbit.studies.paper.rules import Bracket, agreement

RATIO = st.floats(0.5, 2.0)


@given(low=RATIO, width=st.floats(0.0, 0.5), foretold=st.floats(1e-6, 1e6), tolerance=st.floats(1e-3, 0.3))
def test_a_bracket_is_compared_by_its_ends(low, width, foretold, tolerance):
    bracket = Bracket(what="it", foretold=foretold, low=low * foretold, high=(low + width) * foretold)
    near, far = bracket.low / foretold - 1, bracket.high / foretold - 1
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
