"""Two networks on one test set against statsmodels and a count of all outcomes."""

import itertools

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from lastbit.core.errors import LastbitError
from lastbit.stats import compare_paired_examples
from lastbit.stats.paired_examples import _difference

RNG = np.random.default_rng(2)
A, B = RNG.random(200) < 0.7, RNG.random(200) < 0.8


def test_it_is_mcnemars_exact_test():
    found = compare_paired_examples(A, B)
    table = [[found.both, found.only_a], [found.only_b, found.neither]]
    assert np.sum(table) == 200
    assert found.p_value == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert found.difference.estimate == pytest.approx(B.mean() - A.mean())


def test_swapped_networks_and_shuffled_examples():
    there, back = compare_paired_examples(A, B), compare_paired_examples(B, A)
    assert (back.difference.low, back.difference.high) == pytest.approx((-there.difference.high, -there.difference.low))
    order = RNG.permutation(200)
    assert compare_paired_examples(A[order], B[order]) == there


def test_the_interval_holds_the_truth_as_often_as_it_says_whatever_the_truth():
    n = 12
    counts = [(c, b) for c, b in itertools.product(range(n + 1), repeat=2) if c + b <= n]
    intervals = [_difference(c, b, n, 0.95) for c, b in counts]
    for psi, pi in itertools.product((0.05, 0.3, 0.7, 1.0), (0.0, 0.3, 0.5, 0.9, 1.0)):
        truth, chances = psi * (2 * pi - 1), (psi * (1 - pi), psi * pi, 1 - psi)
        mass = stats.multinomial(n, chances).pmf([(c, b, n - c - b) for c, b in counts])
        holds = [each.low - 1e-12 <= truth <= each.high + 1e-12 for each in intervals]
        assert mass @ holds >= 0.95


def test_networks_that_agree_on_everything_may_still_differ_elsewhere():
    found = compare_paired_examples(A, A)
    assert (found.p_value, found.difference.estimate) == (1.0, 0.0)
    assert found.difference.low == pytest.approx(-found.difference.high)
    assert 0 < found.difference.high < 0.05
    one = compare_paired_examples([0], [1])
    assert (one.difference.estimate, one.p_value) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1, 0], [1], "2 scores of A and 1 of B"),
        ([], [], "no examples"),
        ([1, 0], [1, 0.5], "the scores of B hold 0.5: give 1 where it is right"),
        ([1, np.nan], [1, 0], "the scores of A hold a NaN"),
    ],
)
def test_bad_input_is_one_clear_line(a, b, message):
    with pytest.raises(LastbitError, match=message):
        compare_paired_examples(a, b)
