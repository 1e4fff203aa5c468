"""Power against statsmodels and Monte Carlo."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lastbit.core.errors import LastbitError
from lastbit.core.plain import plain
from lastbit.stats import Estimate, not_measured, seeds_needed, smallest_resolvable_difference
from lastbit.stats.noncentral import detectable_noncentrality, t_test_power


def audit(sigma=0.3, df=30.0):
    ends = sigma * np.sqrt(df / stats.chi2.ppf([0.975, 0.025], df))
    return Estimate(sigma, float(ends[0]), float(ends[1]), 36, "", df)


def test_of_many_seeds_it_is_the_two_sample_t_test():
    oracle = pytest.importorskip("statsmodels.stats.power").TTestIndPower()
    for n, power, level in ((20, 0.8, 0.95), (60, 0.9, 0.99)):
        row = smallest_resolvable_difference(audit(1.0), n_seeds=(n,), power=power, level=level)[0]
        expected = oracle.solve_power(nobs1=n, alpha=1 - level, power=power)
        # Welch's t has hardly less power than the oracle's with its pooled SD.
        assert expected < row.difference.estimate < 1.005 * expected


def test_of_single_runs_and_a_well_known_sigma_it_is_the_normal_test():
    oracle = pytest.importorskip("statsmodels.stats.power").NormalIndPower()
    expected = oracle.solve_power(nobs1=1, alpha=0.05, power=0.8)
    for df in (5e4, 1e6, 1e9):
        row = smallest_resolvable_difference(audit(1.0, df), n_seeds=(1,))[0]
        assert row.difference.estimate == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("df", [4.3, 30.0])
def test_of_single_runs_it_is_found_by_the_audits_spread_as_often_as_it_says(df):
    rng, sigma, repeats = np.random.default_rng(0), 0.3, 100_000
    delta = smallest_resolvable_difference(audit(sigma, df), n_seeds=(1,))[0].difference.estimate
    gap = rng.normal(delta, sigma * np.sqrt(2), repeats)
    se = sigma * np.sqrt(rng.chisquare(df, repeats) / df) * np.sqrt(2)
    found = np.mean(np.abs(gap / se) > stats.t.ppf(0.975, df))
    assert found == pytest.approx(0.8, abs=4 * math.sqrt(0.8 * 0.2 / repeats))


@pytest.mark.parametrize("n", [2, 3, 5])
def test_of_several_runs_it_is_found_by_their_own_spread_as_often_as_it_says(n):
    rng, repeats = np.random.default_rng(2), 40_000
    delta = smallest_resolvable_difference(audit(0.3), n_seeds=(n,))[0].difference.estimate
    a, b = rng.normal(0, 0.3, (repeats, n)), rng.normal(delta, 0.3, (repeats, n))
    found = np.mean(stats.ttest_ind(b, a, axis=1, equal_var=False).pvalue <= 0.05)
    assert found == pytest.approx(0.8, abs=4 * math.sqrt(0.8 * 0.2 / repeats))


def test_seeds_needed_are_the_fewest_that_resolve():
    sigma = audit()
    for row in seeds_needed(sigma, differences=(0.1, 0.2, 0.5, 1.0)):
        n = int(row.n_seeds.estimate)
        resolved = [r.difference.estimate for r in smallest_resolvable_difference(sigma, n_seeds=(max(n - 1, 1), n))]
        assert resolved[1] <= row.difference
        assert n == 1 or resolved[0] > row.difference
        assert row.n_seeds.low <= n <= row.n_seeds.high


def test_a_difference_resolved_by_whole_seeds_needs_no_seed_more():
    sigma = audit()
    rows = smallest_resolvable_difference(sigma, n_seeds=(1, 3, 7, 100))
    needed = seeds_needed(sigma, differences=[row.difference.estimate for row in rows])
    assert [row.n_seeds.estimate for row in needed] == [1, 3, 7, 100]


@settings(deadline=None, max_examples=40)
@given(st.floats(1.0, 500.0), st.floats(0.5, 0.95))
def test_the_noncentrality_has_the_power_it_was_asked_for(df, power):
    reach = detectable_noncentrality(df, power=power)
    assert t_test_power(reach, df) == pytest.approx(power, abs=1e-6)
    assert t_test_power(0.0, df) == pytest.approx(0.05, abs=1e-8)
    assert detectable_noncentrality(df + 5, power=power) < reach


@settings(deadline=None, max_examples=20)
@given(st.floats(1e-3, 1e3), st.integers(2, 50))
def test_the_difference_is_proportional_to_sigma_and_falls_with_the_seeds(scale, n):
    one, more = smallest_resolvable_difference(audit(1.0), n_seeds=(n, n + 1))
    assert more.difference.estimate < one.difference.estimate
    scaled = smallest_resolvable_difference(audit(scale), n_seeds=(n,))[0].difference
    np.testing.assert_allclose(
        [scaled.estimate, scaled.low, scaled.high],
        [scale * x for x in (one.difference.estimate, one.difference.low, one.difference.high)],
    )


def test_degrees_of_freedom_are_the_samples_less_one_where_none_are_given():
    given_n = smallest_resolvable_difference(Estimate(0.3, None, None, 13))[0].difference.estimate
    given_df = smallest_resolvable_difference(Estimate(0.3, None, None, 99, "", 12.0))[0].difference.estimate
    assert given_n == given_df


@pytest.mark.parametrize(
    ("sigma", "why"),
    [
        (Estimate(0.0, 0.0, None, 12, "no spread seen", 11.0), "no spread was seen"),
        # Two seeds: chi-square on one degree of freedom.
        (Estimate(4.3, 1.9, 137.0, 12, "", 1.0), "too few seeds to tell: the spread may be 32 times as large"),
    ],
)
def test_a_spread_that_says_nothing_gives_no_number(sigma, why):
    for row in smallest_resolvable_difference(sigma):
        assert not row.difference.measured
        assert row.observed == row.difference
        assert row.observed.note.startswith(f"not measured: {why}")
    assert all(row.n_seeds.note.startswith(f"not measured: {why}") for row in seeds_needed(sigma))


def test_an_absurd_number_of_seeds_is_no_number():
    rows = seeds_needed(audit(1e3), differences=(0.1, 100.0, 1e-305))
    assert [row.n_seeds.measured for row in rows] == [False, True, False]
    assert rows[0].n_seeds.note == "not measured: more than 1,000,000 seeds"
    assert [row.n_seeds.estimate for row in seeds_needed(audit(1e-300), differences=(1e300,))] == [1.0]
    assert not seeds_needed(audit(1e300), differences=(0.1,))[0].n_seeds.measured


@pytest.mark.parametrize(("df", "n"), [(3.0, 1), (10.0, 1), (35.0, 5)])
def test_noise_exceeds_the_observed_difference_as_often_as_it_says(df, n):
    rng, sigma, repeats = np.random.default_rng(1), 0.3, 200_000
    # Each audit has its own SD, and states the line from it.
    gap = np.abs(rng.normal(0, sigma * np.sqrt(2 / n), repeats))
    drawn = np.sqrt(rng.chisquare(df, repeats) / df)
    row = smallest_resolvable_difference(audit(sigma, df), n_seeds=(n,))[0]
    assert np.mean(gap > row.observed.estimate * drawn) == pytest.approx(0.05, abs=0.002)
    assert np.mean(gap > row.difference.estimate * drawn) < 0.03
    ratio = row.observed.high / row.observed.estimate
    assert ratio == pytest.approx(row.difference.high / row.difference.estimate)


def test_open_ends_and_missing_spreads_are_carried_over():
    open_above = Estimate(0.3, 0.2, None, 12, "open", 11.0)
    row = smallest_resolvable_difference(open_above)[0].difference
    assert (row.high, row.note) == (None, "open")
    assert seeds_needed(open_above)[0].n_seeds.high is None
    missing = not_measured("one seed", n=1)
    assert [row.n_seeds for row in smallest_resolvable_difference(missing)] == [1, 3, 5, 10]
    assert all(not row.difference.measured for row in smallest_resolvable_difference(missing))
    assert all(row.n_seeds.note.startswith("not measured: ") for row in seeds_needed(missing))


def test_rows_are_json():
    rows = plain([*smallest_resolvable_difference(audit()), *seeds_needed(audit())])
    stored = json.loads(json.dumps(rows))
    assert [row["n_seeds"] for row in stored[:4]] == [1, 3, 5, 10]
    assert [row["difference"] for row in stored[4:]] == [0.1, 0.2, 0.5, 1.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smallest_resolvable_difference(audit(), n_seeds=(0,)), "n_seeds = 0: .* at least 1"),
        (lambda: smallest_resolvable_difference(audit(), n_seeds=(1.5,)), "whole number"),
        (lambda: smallest_resolvable_difference(audit(), power=1.0), "power = 1.0"),
        (lambda: smallest_resolvable_difference(audit(), power=0.05), "above the test's size 0.05"),
        (lambda: smallest_resolvable_difference(audit(), level=95), r"write 0\.95"),
        (lambda: seeds_needed(audit(), differences=(0.0,)), "difference = 0.0"),
        (lambda: seeds_needed(audit(), differences=(math.nan,)), "difference = nan"),
        (lambda: seeds_needed(Estimate(0.3, None, None, 1)), "at least one degree of freedom"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(LastbitError, match=message):
        call()
