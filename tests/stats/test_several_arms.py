"""Several arms against statsmodels and a simulated maximum modulus; letters against their definition."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_ind

from lastbit.core.errors import LastbitError
from lastbit.stats import compare_arms, compare_several
from lastbit.stats.maximum_modulus import maximum_modulus_p, maximum_modulus_quantile
from lastbit.stats.several_arms import _letters

RNG = np.random.default_rng(6)
ARMS = [RNG.normal(loc, scale, n) for loc, scale, n in ((0, 1, 6), (0.2, 1, 5), (2.5, 2, 6), (3.5, 0.5, 8))]


def several(arms, **options):
    return compare_several(arms, **{"seeds": [None] * len(arms), **options})


@pytest.mark.parametrize(("count", "df"), [(1, 4.0), (3, 1.0), (3, 2.5), (6, 10.0), (10, 1e6)])
def test_the_largest_of_several_ts_stays_below_its_quantile_as_often_as_it_says(count, df):
    rng, repeats = np.random.default_rng(1), 100_000
    quantile = maximum_modulus_quantile(count, df)
    largest = np.abs(rng.standard_normal((count, repeats))).max(axis=0) / np.sqrt(rng.chisquare(df, repeats) / df)
    assert np.mean(largest > quantile) == pytest.approx(0.05, abs=0.003)
    assert maximum_modulus_p(-quantile, count, df) == pytest.approx(0.05, abs=1e-8)
    if count == 1:
        assert quantile == pytest.approx(stats.t.ppf(0.975, df))
    if df == 1e6:
        assert quantile == pytest.approx(stats.norm.ppf((1 + 0.95 ** (1 / count)) / 2))


def test_all_pairs_are_holms_step_down_of_welchs_p():
    found = several(ARMS, against="all")
    places = list(itertools.combinations(range(4), 2))
    raw = [stats.ttest_ind(ARMS[b], ARMS[a], equal_var=False).pvalue for a, b in places]
    reject, adjusted = multipletests(raw, method="holm")[:2]
    assert [(pair.a, pair.b) for pair in found.pairs] == places
    assert [pair.p_value for pair in found.pairs] == pytest.approx(list(adjusted))
    assert [pair.verdict == "real" for pair in found.pairs] == list(reject)
    assert 0 < sum(reject) < 6


def test_against_the_first_the_p_values_and_the_intervals_agree():
    found = several(ARMS)
    assert [(pair.a, pair.b) for pair in found.pairs] == [(0, 1), (0, 2), (0, 3)]
    for pair in found.pairs:
        alone = compare_arms(ARMS[0], ARMS[pair.b], seeds_a=None, seeds_b=None)
        se = (alone.difference.high - alone.difference.estimate) / stats.t.ppf(0.975, alone.difference.df)
        reach = maximum_modulus_quantile(3, alone.difference.df) * se
        assert pair.difference.high == pytest.approx(alone.difference.estimate + reach)
        assert (pair.verdict == "real") == (not pair.difference.low <= 0 <= pair.difference.high)
        assert pair.p_value > alone.p_value
    assert found.letters == ("a", "a", *("" if pair.verdict == "real" else "a" for pair in found.pairs[1:]))


@pytest.mark.parametrize("against", ["first", "all"])
def test_no_difference_is_holms_step_down_of_two_one_sided_tests(against):
    arms = [np.array([-1.2, 0.1, 0.9, -0.4, 0.6]) + 100 * shift for shift in (0.0, 0.001, 0.012, 0.05)]
    places = list(itertools.combinations(range(4), 2)) if against == "all" else [(0, 1), (0, 2), (0, 3)]
    raw = [ttost_ind(arms[b], arms[a], -3.2, 3.2, usevar="unequal")[0] for a, b in places]
    within = multipletests(raw, method="holm")[0]
    found = several(arms, against=against, worth=3.2)
    assert [pair.within_worth for pair in found.pairs] == list(within)
    assert [pair.verdict == "no_difference" for pair in found.pairs] == list(within)
    assert 0 < sum(within) < len(places)
    assert found.procedure.endswith("Holm on two one-sided t tests")
    assert not any(pair.verdict == "no_difference" for pair in several([arm[:2] for arm in arms], worth=1e9).pairs)


def test_what_is_real_may_be_too_small_to_matter():
    one, *_ = several([[0.0, 0.1, 0.2], [1.0, 1.1, 1.2], [0.0, 0.1, 0.3]], worth=50.0).pairs
    assert (one.verdict, one.within_worth) == ("real", True)


@settings(deadline=None, max_examples=200)
@given(st.permutations(range(5)), st.sets(st.sampled_from(list(itertools.combinations(range(5), 2)))))
def test_arms_share_a_letter_exactly_when_they_are_not_told_apart(order, real):
    letters = _letters(list(order), real)
    for a, b in itertools.combinations(range(5), 2):
        assert bool(set(letters[a]) & set(letters[b])) == ((a, b) not in real)
    assert "a" in letters[order[0]]
    groups = [{place for place in range(5) if name in letters[place]} for name in sorted(set("".join(letters)))]
    assert not any(one < other for one in groups for other in groups)


def test_two_seeds_and_arms_without_spread_are_named():
    found = several([ARMS[0], ARMS[2][:2] + 50, [1.0, 1.0, 1.0], [1.5] * 3], against="all")
    assert found.pairs[0].p_value < 0.05
    assert found.pairs[0].verdict == "undecided"
    assert any(remark.startswith("two seeds allow intervals and no verdict: arm 2") for remark in found.remarks)
    assert "arm 3 shows no spread over its 3 seeds" in found.remarks
    assert not found.pairs[-1].difference.measured
    assert any("capped" in remark for remark in found.remarks)


def test_runs_of_a_seed_count_once():
    seeds = [np.repeat(np.arange(len(arm)), 2) for arm in ARMS]
    twice = compare_several([np.repeat(arm, 2) for arm in ARMS], seeds=seeds)
    assert twice.pairs == several(ARMS).pairs
    assert "averaged within their seed" in twice.procedure


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: several([[1.0, 2.0]]), "two arms or more, got 1"),
        (lambda: compare_several(ARMS, seeds=[None]), "there are 4 arms, and seeds for 1"),
        (lambda: several([[1.0, 2.0], [1.0]]), "arm 2 has one seed"),
        (lambda: several([[1.0, 2.0], [1.0]], names=["arm A", "arm B"]), "arm B has one seed"),
        (lambda: several(ARMS, names=["arm A"]), "there are 4 arms, and 1 name"),
        (lambda: several(ARMS, worth=-1.0), "worth = -1.0: .* as a positive number"),
        (lambda: several([[1.0, 1.0], [2.0, 2.0]]), "no arm shows any spread"),
        (lambda: several(ARMS, against="last"), "unknown against 'last'"),
        (lambda: maximum_modulus_quantile(0, 3.0), "count = 0, df = 3.0"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(LastbitError, match=message):
        call()
