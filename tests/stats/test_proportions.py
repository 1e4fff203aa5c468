"""The chance that one more would be such a one, against the definition of its interval."""

import pytest
from scipy import stats

from lastbit.core.errors import LastbitError
from lastbit.stats import proportion_estimate


@pytest.mark.parametrize(("count", "n"), [(1, 5), (3, 12), (7, 8)])
def test_the_ends_are_where_the_binomial_tails_hold_a_half_of_what_is_left(count, n):
    found = proportion_estimate(count, n, level=0.9)
    assert found.estimate == count / n
    assert stats.binom.sf(count - 1, n, found.low) == pytest.approx(0.05, abs=1e-9)
    assert stats.binom.cdf(count, n, found.high) == pytest.approx(0.05, abs=1e-9)


def test_never_and_always_have_an_open_side():
    assert proportion_estimate(0, 4).low == 0.0
    assert proportion_estimate(0, 4).high == pytest.approx(1 - 0.025 ** (1 / 4))
    assert proportion_estimate(4, 4).high == 1.0
    assert not proportion_estimate(0, 0).measured


@pytest.mark.parametrize(("count", "n"), [(3, 2), (-1, 2)])
def test_more_than_all_is_no_share(count, n):
    with pytest.raises(LastbitError, match="is no share"):
        proportion_estimate(count, n)
