"""The chance that a fresh run is better against SciPy's U and a root by hand; best of n against order statistics."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import integrate, stats

from lastbit.core.errors import LastbitError
from lastbit.stats import best_of_runs, expected_maximum, probability_better
from lastbit.stats.better import noncentrality_interval

A, B = [97.1, 97.4, 96.9, 97.2, 97.3], [97.6, 97.2, 97.9, 97.5, 97.7, 97.3]


def better(a, b, higher=True, **options):
    return probability_better(a, b, **{"seeds_a": None, "seeds_b": None, "higher_is_better": higher, **options})


# Where sizes differ, Student's quantile on the degrees of freedom of two arms of the smaller size stands for z.
@pytest.mark.parametrize(("a", "b", "z"), [(A, B[:5], stats.norm.ppf(0.975)), (A, B, stats.t.ppf(0.975, 8))])
def test_from_five_seeds_on_it_is_the_share_of_pairs_with_the_interval_of_method_5(a, b, z):
    found, pairs = better(a, b), len(a) * len(b)
    theta = stats.mannwhitneyu(b, a).statistic / pairs
    assert found.estimate == pytest.approx(theta)
    several = (len(a) + len(b)) / 2 - 1
    for end in (found.low, found.high):
        variance = end * (1 - end) * (1 + several * ((1 - end) / (2 - end) + end / (1 + end))) / pairs
        assert abs(theta - end) == pytest.approx(z * np.sqrt(variance), rel=1e-9)
    assert found.low < theta < found.high


RUNS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 5)), min_size=8, max_size=20)


@given(a=RUNS, b=RUNS)
def test_each_pair_of_seeds_counts_as_much_however_many_runs_they_have(a, b):
    by_seed = [{seed: [v for s, v in runs if s == seed] for seed, _ in runs} for runs in (a, b)]
    assume(min(map(len, by_seed)) >= 5)
    won = [
        np.mean([(y > x) + 0.5 * (y == x) for x in of_a for y in of_b])
        for of_a in by_seed[0].values()
        for of_b in by_seed[1].values()
    ]
    seeds = {"seeds_a": [seed for seed, _ in a], "seeds_b": [seed for seed, _ in b]}
    assert better([v for _, v in a], [v for _, v in b], **seeds).estimate == pytest.approx(np.mean(won), abs=1e-11)


def test_what_all_runs_win_is_certain_here_and_its_interval_is_not():
    for a, b, end in (
        ([1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 12.5], 1.0),
        ([8, 9, 10, 11, 12], [1, 2, 3, 4, 5, 6], 0.0),
    ):
        found = better(a, b)
        assert found.estimate == end
        assert found.low < found.high


@pytest.mark.parametrize(("a", "b"), [(A, B), (A[:3], B[:3]), (A[:2], B), (A[:1], B)])
def test_lower_is_better_and_swapped_arms_are_the_other_side(a, b):
    there, back, less = better(a, b), better(b, a), better(a, b, higher=False)
    for other in (back, less):
        assert other.estimate == pytest.approx(1 - there.estimate)
        assert (other.low, other.high) == pytest.approx((1 - there.high, 1 - there.low))
    scaled = better(1e-3 * np.array(a) - 7, 1e-3 * np.array(b) - 7)
    assert scaled.low == pytest.approx(there.low, rel=1e-6)


def test_a_clean_sweep_has_an_open_side_of_no_width():
    found = better([1.0, 2, 3, 4, 5], [6.0, 7, 8, 9, 10])
    assert (found.estimate, found.high) == (1.0, 1.0)
    assert 0.5 < found.low < 0.9
    assert better([1.0] * 5, [1.0] * 5).estimate == 0.5


def test_with_fewer_seeds_it_is_the_normal_distribution_at_the_effect_seen():
    a, b = A[:3], B[:3]
    found, tau = better(a, b), np.sqrt(np.var(a, ddof=1) + np.var(b, ddof=1))
    assert found.estimate == pytest.approx(stats.norm.cdf((np.mean(b) - np.mean(a)) / tau))
    test = stats.ttest_ind(b, a, equal_var=False)
    for end, chance in ((found.low, 0.025), (found.high, 0.975)):
        assert stats.nct.sf(test.statistic, test.df, np.sqrt(3) * stats.norm.ppf(end)) == pytest.approx(
            chance, abs=1e-6
        )
    assert "taken for normal" in found.note


def test_several_runs_of_a_seed_spread_more_than_their_mean():
    seeds, noise = np.repeat(np.arange(3), 2), 0.3 * np.tile([-1, 1], 3)
    a, b = np.repeat(A[:3], 2), np.repeat(B[:3], 2)
    once, twice = better(a, b, seeds_a=seeds, seeds_b=seeds), better(a + noise, b + noise, seeds_a=seeds, seeds_b=seeds)
    tau = np.sqrt(np.var(A[:3], ddof=1) + np.var(B[:3], ddof=1) + 2 * 0.5 * 2 * 0.3**2)
    assert twice.estimate == pytest.approx(stats.norm.cdf((np.mean(b) - np.mean(a)) / tau))
    assert 0.5 < twice.estimate < once.estimate
    assert once == better(A[:3], B[:3])
    ranked = better(np.repeat(A, 2), np.repeat(B, 2), seeds_a=np.repeat(range(5), 2), seeds_b=np.repeat(range(6), 2))
    assert ranked == better(A, B)


@pytest.mark.parametrize(("t", "df"), [(0.0, 2.0), (1.3, 1.0), (40.0, 1.2), (-3.0, 4.0), (2000.0, 6.0)])
def test_the_noncentralities_leave_the_tails_they_should(t, df):
    low, high = noncentrality_interval(t, df)
    rng = np.random.default_rng(4)
    noise, spread = rng.standard_normal(100_000), np.sqrt(rng.chisquare(df, 100_000) / df)
    assert np.mean((noise + low) / spread > t) == pytest.approx(0.025, abs=0.002)
    assert np.mean((noise + high) / spread < t) == pytest.approx(0.025, abs=0.002)


def test_nothing_is_said_of_arms_without_spread_or_of_one_run_each():
    assert "neither arm shows any spread" in better([1.0, 1.0], [2.0, 2.0]).note
    with pytest.raises(LastbitError, match="one seed an arm says nothing"):
        better([1.0], [2.0])


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_the_expected_maximum_is_its_integral(n):
    def density(x):
        return n * x * stats.norm.pdf(x) * stats.norm.cdf(x) ** (n - 1)

    assert expected_maximum(n) == pytest.approx(integrate.quad(density, -9, 9, epsabs=1e-12)[0], abs=1e-9)


def test_the_best_lies_above_the_mean_by_what_selection_adds():
    found = best_of_runs(A, higher_is_better=True)
    assert (found.n, found.best, found.mean) == (5, 97.4, pytest.approx(np.mean(A)))
    assert found.by_selection.estimate == pytest.approx(1.16296 * np.std(A, ddof=1), rel=1e-5)
    ends = np.std(A, ddof=1) * np.sqrt(4 / stats.chi2.ppf([0.975, 0.025], 4)) * 1.16296
    assert (found.by_selection.low, found.by_selection.high) == pytest.approx(tuple(ends), rel=1e-5)
    assert best_of_runs(A, higher_is_better=False).best == 96.9
    assert not best_of_runs([1.0], higher_is_better=True).by_selection.measured
    assert not best_of_runs([1.0, 1.0], higher_is_better=True).by_selection.measured


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: best_of_runs([], higher_is_better=True), "the best of no runs"),
        (lambda: expected_maximum(0), "n = 0: the best is chosen"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(LastbitError, match=message):
        call()
