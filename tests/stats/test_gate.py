"""The gate's decision against SciPy's tests, by hand, and under whatever arrives."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from lastbit.core.errors import LastbitError
from lastbit.core.plain import plain
from lastbit.stats.gate import Candidate, Choice, Session, Why, look
from lastbit.stats.gate_session import GateRules, promised_share

RULES = GateRules(candidates=10)


def runs(n, mean=0.0, sigma=1.0, seed=0):
    return tuple(float(x) for x in np.random.default_rng(seed).normal(mean, sigma, n))


def decided(session, values=(), rules=RULES, higher=True, **candidate):
    return look(rules, session, Candidate(values=tuple(values), **candidate), higher_is_better=higher)


def test_a_wider_candidate_is_compared_by_welchs_test():
    baseline, values = runs(32), runs(16, 1.0, 3.0, seed=1)
    seen = decided(Session.of([baseline]), values).comparison
    oracle = stats.ttest_ind(values, baseline, equal_var=False, alternative="greater")
    assert seen.p == pytest.approx(oracle.pvalue, rel=1e-10)
    assert (seen.z, seen.df) == pytest.approx((oracle.statistic, oracle.df), rel=1e-10)
    assert seen.own_sigma == pytest.approx(np.std(values, ddof=1))
    assert seen.flagged
    assert seen.spread == pytest.approx(np.var(values, ddof=1) / np.var(baseline, ddof=1))


def test_a_narrower_candidate_is_compared_by_the_pooled_spread_of_all_baselines():
    rows = [runs(32, 4.0, seed=2), runs(6, 5.0, seed=3), runs(17)]
    values = runs(8, 1.5, 0.4, seed=4)
    seen = decided(Session.of(rows), values).comparison
    df = 31 + 5 + 16
    sigma = math.sqrt(sum((len(row) - 1) * np.var(row, ddof=1) for row in rows) / df)
    z = (np.mean(values) - np.mean(rows[-1])) / (sigma * math.sqrt(1 / 8 + 1 / 17))
    assert (seen.sigma, seen.df, seen.z, seen.p) == pytest.approx((sigma, df, z, stats.t.sf(z, df)), rel=1e-10)
    assert not seen.flagged


def test_before_four_runs_a_candidates_own_spread_says_nothing():
    seen = decided(Session.of([runs(8)]), (1.0, 9.0)).comparison
    assert (seen.own_sigma, seen.spread, seen.flagged) == (None, None, False)
    assert seen.z == pytest.approx((5 - np.mean(runs(8))) / (np.std(runs(8), ddof=1) * math.sqrt(1 / 2 + 1 / 8)))


def test_a_session_from_the_first_run_to_the_keep():
    """What each look asks for, and that a strong candidate ends at eight runs, a fair one at sixteen."""
    empty = decided(Session.of([[]]))
    assert (empty.choice, empty.why) == (Choice.MORE, Why.BASELINE_SHORT)
    assert (empty.candidate_runs, empty.baseline_runs) == (1, 5)
    baseline, values = runs(40), runs(16, 2.5, seed=5)
    for k, n in enumerate(RULES.looks[:3]):
        short = decided(Session.of([baseline[: RULES.baseline_sizes[k]]]), values[:n])
        assert short.choice is Choice.MORE
        assert (short.candidate_runs, short.baseline_runs) == (RULES.looks[k + 1], RULES.baseline_sizes[k + 1])
        assert short.comparison.level == 0
    kept = decided(Session.of([baseline[:16]]), values[:8])
    assert (kept.choice, kept.why, kept.candidate_runs) == (Choice.KEEP, Why.BETTER, 0)
    assert kept.comparison.p <= kept.comparison.level == pytest.approx(0.1 * 0.05 / 10)
    fair = runs(16, 1.0, seed=6)
    assert decided(Session.of([baseline[:16]]), fair[:8]).choice is Choice.MORE
    assert decided(Session.of([baseline[:32]]), fair).choice is Choice.KEEP


@pytest.mark.parametrize("k", range(5))
def test_each_bound_divides_discard_from_going_on(k):
    n, size, last = RULES.looks[k], RULES.baseline_sizes[k], k == 4
    baseline = tuple(float(x) for x in stats.norm.ppf((np.arange(size) + 0.5) / size))
    sigma = np.std(baseline, ddof=1)
    edge = stats.t.isf(RULES.alpha(0) * 0.9, size - 1) if last else RULES.futility[k]
    for side in (-0.001, 0.001):
        values = ((edge + side) * sigma * math.sqrt(1 / n + 1 / size),) * n
        above = Choice.KEEP if last else Choice.MORE
        decision = decided(Session.of([baseline]), values)
        assert decision.choice is (above if side > 0 else Choice.DISCARD)
        if side < 0:
            assert decision.why is (Why.NOT_SHOWN if last else Why.NOT_AHEAD)


def test_the_level_grows_with_the_keeps_and_shrinks_with_what_is_declared():
    assert [GateRules(candidates=100).alpha(keeps) for keeps in (0, 1, 9)] == pytest.approx([0.0005, 0.001, 0.005])
    assert decided(Session.of([runs(32)], keeps=3), runs(16)).alpha == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("candidate", "choice", "why"),
    [
        ({"same_bits": True}, Choice.DISCARD, Why.SAME_BITS),
        ({"diverged": 1}, Choice.DISCARD, Why.DIVERGED),
        ({"crashed": 1}, Choice.UNDECIDED, Why.CRASHED),
        ({"crashed": 1, "diverged": 1}, Choice.DISCARD, Why.DIVERGED),
    ],
)
def test_what_decides_without_a_comparison(candidate, choice, why):
    decision = decided(Session.of([[]]), (9.0,), **candidate)
    assert (decision.choice, decision.why, decision.comparison) == (choice, why, None)


def test_a_budget_that_ends_before_the_next_look_leaves_it_undecided():
    """Three runs of the baseline and one of the candidate are missing to the first look at two."""
    baseline = runs(5)
    for left, choice in ((3, Choice.UNDECIDED), (4, Choice.MORE)):
        decision = decided(Session.of([baseline], left=left), (3.0,))
        assert decision.choice is choice
        assert decision.comparison.z > 1
    assert decided(Session.of([baseline], left=3), (3.0,)).why is Why.BUDGET
    assert decided(Session.of([baseline], left=0), (-3.0,)).choice is Choice.DISCARD


def test_a_candidate_that_spreads_far_more_is_never_kept():
    wide = tuple(float(x) for x in 20 + 5 * np.tile([-1, 1], 8))
    baseline = tuple(np.tile([-1.0, 1.0], 16))
    early, late = decided(Session.of([baseline]), wide[:8]), decided(Session.of([baseline]), wide)
    assert (early.choice, late.choice, late.why) == (Choice.MORE, Choice.UNDECIDED, Why.SPREAD)
    assert late.comparison.p < late.comparison.level
    behind = decided(Session.of([baseline]), tuple(x - 19.5 for x in wide))
    assert (behind.choice, behind.why) == (Choice.DISCARD, Why.NOT_SHOWN)


def test_without_any_noise_equal_is_discarded_and_ahead_is_not_decided():
    still = Session.of([(0.3,) * 32])
    assert decided(still, (0.3,)).why is Why.NOT_AHEAD
    assert decided(still, (0.1,)).comparison.z == -math.inf
    assert decided(still, (0.4,)).choice is Choice.MORE
    assert decided(Session.of([runs(32)]), (1e9,)).choice is Choice.MORE
    equal, spread = decided(still, (0.4, 0.4)), decided(still, runs(2, 3.0, 0.1))
    for ahead in (equal, spread):
        assert (ahead.choice, ahead.why) == (Choice.UNDECIDED, Why.NO_NOISE)
    assert spread.comparison.spread is None
    assert decided(still, runs(16, 3.0, 0.1)).why is Why.NO_NOISE
    assert decided(still, runs(2, -3.0, 0.1)).why is Why.NOT_AHEAD


def test_lower_is_better_mirrors_every_number():
    baseline, values = runs(32), runs(16, 1.0, 1.4, seed=8)
    up = decided(Session.of([baseline]), values)
    down = decided(Session.of([[-x for x in baseline]]), [-x for x in values], higher=False)
    assert up == down


numbers = st.floats(-1e3, 1e3)


@given(
    st.lists(numbers, max_size=40),
    st.lists(numbers, max_size=20),
    st.integers(0, 30),
    st.one_of(st.none(), st.integers(0, 60)),
    st.booleans(),
)
def test_whatever_the_runs_there_is_one_decision_that_can_be_kept_as_json(baseline, values, keeps, left, higher):
    decision = decided(Session.of([baseline], keeps=keeps, left=left), values, higher=higher)
    json.dumps(plain(decision), allow_nan=False)
    going_on = decision.choice is Choice.MORE or decision.why is Why.BUDGET
    missing = max(decision.candidate_runs - len(values), 0) + max(decision.baseline_runs - len(baseline), 0)
    assert going_on == bool(missing)
    if decision.choice is Choice.MORE:
        assert left is None or missing <= left
    if decision.choice is Choice.KEEP:
        assert decision.comparison.p <= decision.comparison.level <= decision.alpha
        assert decision.comparison.difference > 0
        assert len(values) >= 8


@given(st.lists(numbers, min_size=32, max_size=32), st.lists(numbers, min_size=16, max_size=16), st.integers(-900, 900))
def test_the_unit_of_the_metric_changes_no_decision(baseline, values, power):
    assume(np.ptp(baseline) > 1e-3)
    scale = 2.0**power
    one = decided(Session.of([baseline[:9], baseline]), values)
    other = decided(
        Session.of([[x * scale for x in row] for row in (baseline[:9], baseline)]), [x * scale for x in values]
    )
    assert (one.choice, one.why) == (other.choice, other.why)
    assert (one.comparison.z, one.comparison.p) == pytest.approx((other.comparison.z, other.comparison.p), rel=1e-6)


def test_more_candidates_than_declared_cost_what_is_said():
    assert promised_share(0.05, [], left=300, declared=300) == pytest.approx(0.05)
    assert promised_share(0.05, [100] * 40, left=60, declared=100) == pytest.approx(0.05)
    assert promised_share(0.05, [100] * 100, left=200, declared=300) == pytest.approx(0.05 * (1 + 2 / 3))
    assert promised_share(0.05, [100] * 100 + [300] * 200) == pytest.approx(0.05 * (1 + 2 / 3))
    with pytest.raises(LastbitError, match="whole numbers: at least 1 declared"):
        promised_share(0.05, [0])


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"error_rate": 5}, "error_rate = 5: the share of false keeps lies between 0 and 1"),
        ({"candidates": 0}, "candidates = 0: declare at least one"),
        ({"looks": (1, 2)}, "each look needs"),
        ({"looks": (1, 2, 2, 8, 16)}, "each after more"),
        ({"baseline_sizes": (1, 8, 8, 16, 32)}, "at least 2 runs"),
        ({"baseline_sizes": (5, 8, 7, 16, 32)}, "never fewer"),
        ({"shares": (0.0, 0.0, 0.0, 0.5, 0.6)}, "add up to 1"),
        ({"shares": (0.0, 0.0, 0.0, 1.0, 0.0)}, "the last look's above 0"),
        ({"shares": (0.0, 0.2, 0.0, 0.0, 0.8)}, "nothing is kept before 4 runs"),
        ({"flag_spread": 5.0}, "flag_spread = 5.0, most_spread = 4.0"),
    ],
)
def test_rules_that_do_not_fit_are_refused(wrong, match):
    with pytest.raises(LastbitError, match=match):
        GateRules(**wrong)


def test_what_is_no_number_is_refused():
    with pytest.raises(LastbitError, match="candidate hold a NaN"):
        decided(Session.of([runs(8)]), (math.nan,))
    with pytest.raises(LastbitError, match="baseline hold an infinite"):
        Session.of([[1.0, math.inf]])
    with pytest.raises(LastbitError, match=r"write \[\[\]\]"):
        Session.of([])
