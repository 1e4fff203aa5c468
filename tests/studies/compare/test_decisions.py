"""Plain numbers and what is decided about them, held against SciPy and values worked out by hand."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from lastbit import compare
from lastbit.stats import Estimate, smallest_resolvable_difference
from lastbit.studies.compare.arms import ArmRuns
from lastbit.studies.compare.decide import decide
from lastbit.studies.compare.settings import CompareSettings
from lastbit.studies.compare.verdict import compare_verdict

A, B = [97.1, 97.4, 96.9, 97.2], [98.0, 98.4, 98.3]
HIGHER = {"better": "higher", "quiet": True}


@pytest.fixture
def said(tmp_path):
    """Compares numbers into a folder of its own; returns the result."""
    return lambda *arms, **settings: compare(*arms, **{**HIGHER, **settings}, out=tmp_path / "study").result


def arm(values, *, name="x", lost=0, **more):
    seeds = tuple(map(str, range(len(values))))
    told = {"metric": "accuracy", "unit": "%", "higher_is_better": True, "left_out": "seed009 (diverged)" * bool(lost)}
    return ArmRuns(**{"name": name, "values": tuple(values), "seeds": seeds, "lost": lost, **told, **more})


def worded(*arms, finished=True, silent="", **settings):
    decided = decide(arms, CompareSettings(**settings), silent=silent)
    return compare_verdict(decided, finished=finished), decided


def test_a_real_difference_is_welchs(said):
    found, oracle = said(A, B), scipy_stats.ttest_ind(B, A, equal_var=False)
    assert found.verdict_kind == "real"
    assert found.exit_code == 0
    assert found.pairs[0].p_value <= 0.05
    assert found.difference.estimate == pytest.approx(np.mean(B) - np.mean(A))
    # With arms of 4 and 3 the degrees of freedom are capped at 4, at most those of Welch.
    reach = scipy_stats.t.ppf(0.975, min(oracle.df, 4.0)) * np.sqrt(np.var(A, ddof=1) / 4 + np.var(B, ddof=1) / 3)
    assert found.difference.high - found.difference.estimate == pytest.approx(reach)
    assert found.verdict.startswith("B is better than A: B − A = ")
    assert found.probability_better.estimate > 0.9


def test_lower_is_better_turns_the_arms_round(said):
    found = said(A, B, better="lower")
    assert (found.verdict_kind, found.pairs[0].better) == ("real", "A")
    assert found.probability_better.estimate < 0.1


def test_without_worth_no_difference_is_called_absent(said):
    found = said(A, [value + 0.01 for value in A])
    assert (found.verdict_kind, found.exit_code) == ("undecided", 4)
    assert "a true difference of 0." in found.advice


def test_with_worth_none_is(said):
    found = said(A, [value + 0.01 for value in A], worth=2.0)
    assert (found.verdict_kind, found.exit_code) == ("no_difference", 0)
    assert found.verdict.startswith("B and A differ by less than 2, if at all: B − A = 0.01")


def test_two_seeds_an_arm_give_an_interval_and_no_verdict(said):
    found = said(A[:2], [value + 100 for value in A[:2]])
    assert found.verdict_kind == "undecided"
    assert found.difference.low is not None


def test_pairs_are_found_by_seed_never_by_place(said):
    found = said({3: 10.0, 1: 30.0, 2: 20.0}, {1: 31.0, 2: 21.0, 3: 11.0}, paired=True)
    assert found.difference.estimate == 1.0
    assert found.difference.low is None, "every seed differs by exactly 1: no spread, no interval"
    assert found.verdict_kind == "undecided"
    assert "No spread was seen" in found.advice


def test_one_run_against_five_is_a_prediction(said):
    found = said([0.80], [0.71, 0.74, 0.78, 0.73, 0.76])
    spread = np.std([0.71, 0.74, 0.78, 0.73, 0.76], ddof=1)
    expected = 2 * scipy_stats.t.sf((0.80 - 0.744) / (spread * np.sqrt(1 + 1 / 5)), 4)
    assert found.pairs[0].p_value == pytest.approx(expected)
    assert found.verdict_kind == "undecided"
    assert any("A is one run: were it the best of 5, choosing it alone would add 0.031" in one for one in found.remarks)


def test_several_arms_hold_one_error_rate_and_mark_ties(said):
    found = said(A, B, [97.0, 97.3, 97.2], pairs="all", worth=3.0)
    assert [(one.a, one.b, one.verdict) for one in found.pairs] == [
        ("A", "B", "real"),
        ("A", "C", "no_difference"),
        ("B", "C", "real"),
    ]
    assert found.arms[0].group == found.arms[2].group != found.arms[1].group
    assert found.verdict.startswith("B is better than A and C; of 3 pairs, 1 cannot differ by 3 or more")


def test_what_several_pairs_say_is_one_sentence():
    apart = arm(A), arm([98.0, 98.4, 98.3, 98.2]), arm([97.0, 97.3, 97.2, 97.1]), arm([93.0, 99.9, 97.0, 95.5])
    verdict, _ = worded(*apart, pairs="all", worth=1.5)
    said = "of 6 pairs, 1 cannot differ by 1.5 points or more and 3 cannot be told apart, 4 seeds each."
    assert verdict.sentence == f"B is better than A and C in accuracy; {said}"


def test_against_the_first_alone_there_are_fewer_pairs(said):
    assert [(one.a, one.b) for one in said(A, B, [*A[::-1], 97.3]).pairs] == [("A", "B"), ("A", "C")]


def test_an_arm_that_lost_runs_is_not_silently_better():
    verdict, decided = worded(arm(A), arm(B, lost=2))
    assert decided.pairs[0].verdict == "undecided"
    assert verdict.sentence.startswith("B lost 2 of 5 runs (seed009 (diverged)); of the others: ")
    assert "which no result stands for" in verdict.advice


def test_an_arm_that_lost_runs_and_is_worse_is_worse():
    verdict, _ = worded(arm(A, lost=1), arm(B))
    assert verdict.kind == "real"
    assert verdict.sentence.startswith("A lost 1 of 5 runs")


@pytest.mark.parametrize(
    ("arms", "finished", "kind"),
    [
        ((arm(A), arm([], lost=3)), True, "undecided"),
        ((arm(A), arm([], lost=3)), False, "no_runs"),
        ((arm([], lost=3), arm([], lost=3)), True, "all_diverged"),
        ((arm(A), arm([])), False, "no_runs"),
    ],
)
def test_an_arm_without_runs(arms, finished, kind):
    assert worded(*arms, finished=finished)[0].kind == kind


def test_arms_that_never_vary_get_no_chance():
    verdict, decided = worded(arm([100.0] * 3), arm([99.0] * 3))
    assert (verdict.kind, decided.difference.estimate) == ("undecided", -1.0)
    assert "No arm shows any spread" in verdict.advice


def test_names_stand_in_the_sentence_by_what_tells_them_apart():
    names = "python train.py --lr 0.1 --seed {seed}", "python train.py --lr 0.2 --seed {seed}"
    verdict, _ = worded(*(arm(values, name=name) for values, name in zip((A, B), names, strict=True)))
    assert verdict.sentence.startswith("B (--lr 0.2) is better than A (--lr 0.1) in accuracy: B − A = 1.1 points")


def test_the_last_bit_is_not_measurable_where_a_repeat_differed():
    runs = arm([97.1, 97.2, 97.4, 97.5], seeds=("0", "0", "1", "1")), arm([98.0, 98.1, 98.6, 98.5], seeds=tuple("0011"))
    _, decided = worded(*runs)
    assert decided.last_bit.can_flip is False
    _, silent = worded(*runs, silent="an exact repeat differed")
    assert silent.last_bit.can_flip is None
    assert silent.last_bit.rerun.note == "not measured: an exact repeat differed"


def test_the_best_of_several_checkpoints_is_named():
    _, decided = worded(arm(A, metric="best_acc"), arm(B, metric="best_acc"))
    assert any("best of several checkpoints" in one for one in decided.remarks)


def found_by_welch(rng, n, apart, repeats=20_000):
    """Two arms of n seeds whose means are `apart` SDs from each other, and in which comparisons it is found."""
    a, b = rng.normal(0, 1, (repeats, n)), rng.normal(0, 1, (repeats, n)) + np.reshape(apart, (-1, 1))
    return a, b, scipy_stats.ttest_ind(b, a, axis=1, equal_var=False).pvalue <= 0.05


@pytest.mark.evidence
def test_the_power_is_what_the_audits_table_promises(record_property):
    """For 3 to 20 seeds each; with two the test would find it as often, and a comparison gives no verdict."""
    rng, powers = np.random.default_rng(20260), {}
    table = smallest_resolvable_difference(Estimate(1.0, None, None, 36, df=30.0), n_seeds=range(2, 21))
    for row in table:
        n, apart = row.n_seeds, row.difference.estimate
        a, b, real = found_by_welch(rng, n, apart)
        for one in range(20):
            verdict = decide([arm(a[one]), arm(b[one])], CompareSettings()).pairs[0].verdict
            assert (verdict == "real") == (real[one] and n > 2)
        powers[n] = real.mean()
    # An audit's own SD is as uncertain as its seeds are few: what it promises is then too little or too much.
    drawn = np.sqrt(rng.chisquare(8, 20_000) / 8)
    # Julious and Owen (2006), Pharmaceutical Statistics 5, 29-37: what 80% of comparisons find, averaged over audits.
    edge, larger = scipy_stats.norm.ppf(0.975), 1 / (scipy_stats.norm.ppf(0.975) + scipy_stats.norm.ppf(0.8))
    larger *= scipy_stats.nct.ppf(0.8, 8, edge)
    few, averaged = (
        {row.n_seeds: found_by_welch(rng, row.n_seeds, apart * drawn)[2].mean() for row, apart in each}
        for each in ([(row, times * row.difference.estimate) for row in table[1:9]] for times in (1.0, larger))
    )
    far = max((n for n in powers if n > 2), key=lambda n: abs(powers[n] - 0.8))
    said = ", ".join(f"{n} seeds {powers[n]:.1%}" for n in (2, 3, 4, 5, 10, 20))
    least, most = min(few.values()), max(few.values())
    record_property(
        "measured",
        f"{said}; farthest from 80%: {far} seeds {powers[far]:.1%}; of an SD on 8 degrees of freedom, on average "
        f"{least:.1%} to {most:.1%}; of differences {larger:.3f} times as large {min(averaged.values()):.1%} to "
        f"{max(averaged.values()):.1%}",
    )
    assert all(abs(power - 0.8) < 0.03 for n, power in powers.items() if n > 2)
    assert all(abs(power - 0.8) < 0.03 for power in averaged.values())
