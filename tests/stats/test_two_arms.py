"""Two arms: the tests against SciPy and statsmodels, pairs by the seed's name, and what n seeds could have seen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from lastbit.core.errors import LastbitError
from lastbit.stats import compare_arms
from lastbit.stats.settling import Design
from lastbit.stats.welch import Welch, welch_df, welch_equivalence_power, welch_power

A, B = [97.1, 97.4, 96.9, 97.3, 97.0], [97.9, 97.2, 98.1, 97.5, 98.3]


def compare(a, b, **options):
    return compare_arms(a, b, **{"seeds_a": None, "seeds_b": None, **options})


@pytest.mark.parametrize(("a", "b"), [(A, B), (A[:3], B[:3]), (A + A, [*B, 97.7])])
def test_it_is_welchs_test_on_one_number_a_seed(a, b):
    oracle = stats.ttest_ind(b, a, equal_var=False)
    found, ends = compare(a, b), oracle.confidence_interval(0.95)
    assert found.p_value == pytest.approx(oracle.pvalue)
    assert (found.difference.low, found.difference.high) == pytest.approx((ends.low, ends.high))
    assert found.difference.df == pytest.approx(oracle.df)


def test_degrees_of_freedom_of_small_unequal_arms_are_capped_and_said():
    found = compare([1.0, 1.01], [2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 2.0, 1.0])
    assert found.difference.df == 2.0
    assert "degrees of freedom capped at 2" in found.procedure
    assert "capped" not in compare(A, B[:3] + A).procedure
    assert list(welch_df(np.zeros(1), 1.0, 4, 12)) == [6.0]
    # Just above 4 in the smaller arm, Welch's own stand.
    assert "capped" not in compare([1.0, 1.01, 1.02, 1.03, 1.0], [2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 2.0, 1.0]).procedure


@pytest.mark.parametrize("worth", [0.9, 1.15, 1.2, 1.4, 3.0])
def test_a_difference_too_small_to_matter_is_two_one_sided_tests(worth):
    oracle = ttost_ind(np.array(B), np.array(A), -worth, worth, usevar="unequal")[0]
    assert compare(A, B, worth=worth).within_worth == (oracle < 0.05)
    oracle = ttost_paired(np.array(B), np.array(A), -worth, worth)[0]
    seeds = {"seeds_a": range(5), "seeds_b": range(5)}
    assert compare(A, B, worth=worth, paired=True, **seeds).within_worth == (oracle < 0.05)


def test_the_three_verdicts():
    assert compare(A, [value + 1 for value in A]).verdict == "real"
    alike = compare(A, [value + 0.01 for value in A], worth=1.0)
    assert (alike.verdict, alike.within_worth) == ("no_difference", True)
    both = compare(A, [value + 1 for value in A], worth=3.0)
    assert both.verdict == "real"
    assert both.within_worth
    assert "too small to matter" in both.reason
    found = compare(A, [value + 0.1 for value in A])
    assert found.verdict == "undecided"
    assert f"from {found.smallest_seen.estimate:.2g} up" in found.reason


def test_two_seeds_give_an_interval_and_no_verdict():
    found = compare([1.0, 1.001], [2.0, 2.001])
    assert found.p_value < 0.01
    assert found.difference.low > 0
    assert found.verdict == "undecided"
    assert "2 seeds allows an interval and no verdict" in found.reason


def test_one_run_against_five_is_a_prediction_of_one_more():
    one, five = [0.80], [0.71, 0.74, 0.78, 0.73, 0.76]
    t = (one[0] - np.mean(five)) / (np.std(five, ddof=1) * np.sqrt(1 + 1 / 5))
    found = compare(one, five)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(t), 4))
    assert found.verdict == "undecided"
    assert "taken for that of both" in found.procedure


def test_runs_of_a_seed_count_once_in_whatever_order():
    runs, seeds = [*A, *A[:2]], [0, 1, 2, 3, 4, 0, 1]
    assert compare(runs, B, seeds_a=seeds).difference == compare(A, B).difference
    order = [6, 2, 0, 4, 5, 1, 3]
    shuffled = compare([runs[i] for i in order], B, seeds_a=[seeds[i] for i in order])
    assert shuffled.difference == compare(runs, B, seeds_a=seeds).difference
    assert "averaged within their seed" in shuffled.procedure


def test_pairs_are_found_by_the_seeds_name_and_never_by_place():
    found = compare([10.0, 30.0, 20.0], [31.0, 21.0, 11.0], seeds_a=[3, 1, 2], seeds_b=[1, 2, 3], paired=True)
    assert (found.difference.estimate, found.difference.low, found.pairing) == (1.0, None, 0.0)
    assert (found.verdict, found.p_value) == ("undecided", None)
    assert not found.smallest_seen.measured


def test_pairing_says_what_it_gained_and_what_it_left_out():
    seeds = np.arange(6)
    a = np.array([1.0, 5.0, 3.0, 2.0, 4.0, 9.0])
    b = a + np.array([0.1, 0.3, 0.2, 0.1, 0.4, 0.0])
    found = compare(a, b[:0:-1], seeds_a=seeds, seeds_b=seeds[:0:-1], paired=True)
    assert found.p_value == pytest.approx(stats.ttest_rel(b[1:], a[1:]).pvalue)
    apart = np.var(b[1:] - a[1:], ddof=1)
    assert found.pairing == pytest.approx(apart / (np.var(a[1:], ddof=1) + np.var(b[1:], ddof=1)))
    assert found.remarks == ("left out: 1 seed that only one arm has",)
    loss = compare(a[:5], b[:5], seeds_a=[0, 1, 2, 3, 4], seeds_b=[1, 0, 3, 4, 2], paired=True)
    assert loss.pairing > 1


def test_means_that_differ_by_the_rounding_of_their_sums_are_equal():
    a, b = [0.1, 0.7, 0.4], [0.4, 0.1, 0.7]
    found = compare_arms(a, b, seeds_a=None, seeds_b=None)
    assert found.difference.estimate == 0.0
    assert found.p_value == 1.0


@settings(deadline=None, max_examples=12)
@given(
    st.lists(st.integers(-100, 100), min_size=3, max_size=6, unique=True),
    st.lists(st.integers(-100, 100), min_size=3, max_size=6, unique=True),
    st.sampled_from([1e-200, 1e-3, 0.5, 1e6, 1e200]),
    st.integers(-1000, 1000),
)
def test_swapping_negates_and_units_change_nothing(a, b, scale, shift):
    a, b = np.array(a, float), np.array(b, float)
    there, back = compare(a, b), compare(b, a)
    assert there.verdict == back.verdict
    assert there.p_value == pytest.approx(back.p_value)
    assert there.difference.low == pytest.approx(-back.difference.high)
    moved = compare((a + shift) * scale, (b + shift) * scale)
    assert moved.verdict == there.verdict
    assert moved.p_value == pytest.approx(there.p_value)
    assert moved.seeds_to_settle.estimate == there.seeds_to_settle.estimate
    assert moved.smallest_seen.estimate == pytest.approx(scale * there.smallest_seen.estimate)


@pytest.mark.parametrize(("n_a", "n_b", "ratio"), [(2, 2, 6.0), (3, 3, 3.0), (4, 9, 2.0), (10, 10, 1.0)])
def test_powers_are_those_of_the_test(n_a, n_b, ratio):
    rng, repeats = np.random.default_rng(11), 200_000
    square_a, square_b = (rng.chisquare(n - 1, repeats) / (n - 1) / n for n in (n_a, n_b))
    root = np.sqrt(1 / n_a + 1 / n_b)
    df, se = welch_df(square_a, square_b, n_a, n_b), np.sqrt(square_a + square_b)
    noise, within = root * rng.standard_normal(repeats), 4 * np.sqrt(0.25 / repeats)
    found = np.mean(np.abs(ratio + noise) / se > stats.t.ppf(0.975, df))
    assert welch_power(ratio / root, n_a, n_b) == pytest.approx(found, abs=within)
    settled = np.mean(np.abs(noise) + stats.t.ppf(0.95, df) * se < ratio)
    assert welch_equivalence_power(ratio / root, n_a, n_b) == pytest.approx(settled, abs=within)


def test_what_so_many_seeds_could_have_seen_is_the_tried_figure():
    # Tried with 20,000 replications each, in SDs of an arm; given to one decimal.
    tried = {2: 10.3, 3: 3.5, 4: 2.5, 5: 2.1, 10: 1.3, 20: 0.9}
    for n, expected in tried.items():
        design = Design(n, n, False, Welch(1.0, np.sqrt(2 / n), 2.0 * n - 2), 0.95)
        assert design.smallest_seen().estimate == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("paired", [False, True])
def test_the_seeds_that_would_settle_are_the_fewest_with_the_power(paired):
    design = Design(5, 5, paired, Welch(0.7, 0.6, 4.0 if paired else 8.0), 0.95)
    n, scale = int(design.seeds_to_settle().estimate), 0.7 / 0.6 / np.sqrt(5)
    assert design._power(scale * np.sqrt(n), n) >= 0.8 > design._power(scale * np.sqrt(n - 1), n - 1)
    n = int(design.seeds_for_worth(0.7).estimate)
    assert design._equivalence_power(scale * np.sqrt(n), n) >= 0.8
    assert design._equivalence_power(scale * np.sqrt(n - 1), n - 1) < 0.8
    assert design.seeds_to_settle().low < design.seeds_to_settle().high
    hopeless = Design(5, 5, paired, Welch(1e-5, 0.6, 8.0), 0.95)
    assert hopeless.seeds_to_settle().note == "not measured: more than 1,000,000 seeds"


def test_an_arm_without_spread_is_named():
    found = compare([1.0] * 5, [0.4, 0.5, 0.45, 0.42, 0.44])
    assert found.remarks == ("arm A shows no spread over its 5 seeds",)
    assert found.verdict == "real"
    # Averages of equal runs differ by rounding, which is no spread.
    assert compare([0.1 * 3, 0.3, 0.3], [0.4, 0.5, 0.45]).remarks[0].startswith("arm A shows no spread")


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ([1.0], [2.0], {}, "one seed an arm has no spread"),
        ([1.0, 2.0], [3.0, 4.0], {"seeds_a": [0, 0], "seeds_b": [1, 1]}, "one seed an arm has no spread"),
        ([1.0, 1.0], [2.0, 2.0], {}, "neither arm shows any spread"),
        ([], [1.0, 2.0], {}, "arm A has no runs"),
        ([1.0, np.nan], [1.0, 2.0], {}, "the runs of arm A hold a NaN"),
        ([1.0, 2.0], [1.0, np.inf], {}, "the runs of arm B hold an infinite number"),
        (["good", 1.0], [1.0, 2.0], {}, "the runs of arm A must be numbers"),
        (
            [1.0, 2.0],
            [1.0, 2.0],
            {"seeds_b": [1, 2, 3]},
            "the seeds of arm B must name one seed for each of its 2",
        ),
        ([1.0, 2.0], [1.0, 2.0], {"seeds_a": [1.0, np.nan]}, "the seeds of arm A hold a NaN"),
        ([1.0, 2.0], [1.0, 3.0], {"worth": 0.0}, "worth = 0.0: name the smallest difference that matters"),
        ([1.0, 2.0], [1.0, 3.0], {"level": 95}, r"write 0\.95"),
        ([1.0, 2.0], [1.0, 3.0], {"level": 0.2}, "power = 0.8: it must lie above"),
        ([1.0, 2.0], [1.0, 3.0], {"level": 0.4, "worth": 1.0}, "tests need a level above 0.5"),
        ([1.0, 2.0], [1.0, 3.0], {"paired": True}, "pairs are matched by their seeds"),
        (
            [1.0, 2.0],
            [1.0, 3.0],
            {"paired": True, "seeds_a": [1, 2], "seeds_b": [2, 3]},
            "the arms have 1 seed in common",
        ),
        (
            [1.0, 2.0],
            [1.0, 3.0],
            {"paired": True, "seeds_a": ["1", "2"], "seeds_b": [1, 2]},
            "one arm's seeds are words",
        ),
    ],
)
def test_bad_input_is_one_clear_line(a, b, options, message):
    with pytest.raises(LastbitError, match=message) as raised:
        compare(a, b, **options)
    assert "\n" not in str(raised.value)
