"""How few steps hold half of the growth, against counting by hand and against the law of large numbers."""

import numpy as np
import pytest
from scipy.optimize import brentq

from lastbit.core.errors import LastbitError
from lastbit.dynamics.growth_over_steps import chance_half_shares, half_share


def by_single_steps(spans, gains):
    """The share counted step by step, each record's growth spread over its steps."""
    single = sorted((g / m for m, g in zip(spans, gains, strict=True) for _ in range(int(m))), reverse=True)
    left, taken = sum(single) / 2, 0.0
    for gain in single:
        if gain >= left:
            return (taken + left / gain) / len(single)
        left -= gain
        taken += 1
    return None


def test_it_is_counted_step_by_step():
    rng = np.random.default_rng(3)
    for _ in range(50):
        spans = rng.integers(1, 5, 12)
        gains = rng.exponential(size=12) * rng.integers(0, 2, 12)
        gains[0] = 0.3
        assert half_share(spans, gains) == pytest.approx(by_single_steps(spans, gains), abs=1e-12)


def test_nothing_that_grew_has_no_half():
    assert half_share([1, 1], [0.0, 0.0]) is None
    assert half_share([], []) is None


def test_growth_divided_by_chance_has_the_half_of_exponential_variables():
    foretold = brentq(lambda q: q * (1 - np.log(q)) - 0.5, 1e-6, 0.9)
    shares = chance_half_shares(np.ones(2000), draws=200)
    assert np.median(shares) == pytest.approx(foretold, abs=0.003)
    assert (np.diff(shares) >= 0).all()
    # A record over many steps averages over them: its growth comes close to even.
    assert np.median(chance_half_shares(np.full(50, 400.0), draws=50)) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("spans", "gains"), [([1, 1], [1.0]), ([1, 0], [1.0, 1.0]), ([1, 1], [1.0, -1.0])])
def test_what_is_no_growth_is_refused(spans, gains):
    with pytest.raises(LastbitError, match=r"one gain for each span|negative"):
        half_share(spans, gains)
