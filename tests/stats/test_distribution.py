"""The spread on the distribution against random half splits, every pair of examples, and simulated truths."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.core.plain import plain
from lastbit.stats import Estimate, distribution_spread, not_measured, variance_components
from lastbit.stats.distribution import SpreadSplit


def simulate(seed, n_seeds=6, runs=6, examples=1000, sigma_seed=0.01, sigma_last_bit=0.01):
    """0/1 scores whose accuracy on the distribution has exactly the given SDs (up to clipping at 4 to 5 sigma)."""
    rng = np.random.default_rng(seed)
    seeds = np.repeat(np.arange(n_seeds), runs)
    shift = rng.normal(0, sigma_seed, n_seeds)[seeds] + rng.normal(0, sigma_last_bit, len(seeds))
    level = rng.uniform(0.86, 0.94, examples)
    return rng.random((len(seeds), examples)) < level + np.clip(shift, -0.06, 0.06)[:, None], seeds


def covariances(scores):
    centred = scores - scores.mean(axis=0)
    return centred.T @ centred / (len(scores) - 1)


def test_one_seed_is_the_sum_over_pairs_of_examples():
    scores = simulate(0, n_seeds=1, runs=9, examples=30)[0].astype(float)
    cov = covariances(scores)
    pairs = sum(cov[i, j] for i, j in itertools.permutations(range(30), 2)) / (30 * 29)
    split = distribution_spread(scores, np.zeros(9)).last_bit
    assert split.observed.estimate**2 == pytest.approx(scores.mean(axis=1).var(ddof=1), rel=1e-10)
    assert split.test_set.estimate**2 == pytest.approx(scores.mean(axis=1).var(ddof=1) - pairs, rel=1e-10)
    assert split.distribution.estimate == pytest.approx(np.sqrt(max(pairs, 0)), rel=1e-9)
    assert ("negative" in split.distribution.note) == (pairs < 0)


def test_the_closed_form_is_the_mean_over_all_half_splits():
    scores = np.random.default_rng(1).random((7, 6)) + np.random.default_rng(2).random((7, 1))
    halves = []
    for half in itertools.combinations(range(6), 3):
        other = [i for i in range(6) if i not in half]
        halves.append(np.cov(scores[:, half].mean(axis=1), scores[:, other].mean(axis=1))[0, 1])
    split = distribution_spread(scores, np.zeros(7)).last_bit
    assert split.distribution.estimate**2 == pytest.approx(np.mean(halves), rel=1e-10)


def test_random_half_splits_within_seeds_agree():
    scores, seeds = simulate(3, sigma_last_bit=0.02)
    rng, runs, halves = np.random.default_rng(4), len(seeds), []
    centred = scores - np.stack([scores[seeds == s].mean(axis=0) for s in range(6)])[seeds]
    for _ in range(400):
        order = rng.permutation(1000)
        first, second = centred[:, order[:500]].mean(axis=1), centred[:, order[500:]].mean(axis=1)
        halves.append(first @ second / (runs - 6))
    split = distribution_spread(scores, seeds).last_bit
    error = np.std(halves) / np.sqrt(400)
    assert split.distribution.estimate**2 == pytest.approx(np.mean(halves), abs=4 * error)


def test_parts_add_up_and_the_observed_part_is_the_variance_component():
    scores, seeds = simulate(5, sigma_seed=0.02, sigma_last_bit=0.02)
    spread = distribution_spread(scores, seeds)
    parts = variance_components(scores.mean(axis=1).reshape(6, 6))
    for split, sigma in ((spread.last_bit, parts.sigma_last_bit), (spread.total, parts.sigma_total)):
        np.testing.assert_allclose(
            [split.observed.estimate, split.observed.low, split.observed.high, split.observed.df],
            [sigma.estimate, sigma.low, sigma.high, sigma.df],
            rtol=1e-9,
        )
        assert split.observed.estimate**2 == pytest.approx(
            split.distribution.estimate**2 + split.test_set.estimate**2, rel=1e-9
        )


def test_variances_are_unbiased_and_intervals_cover():
    truth = np.array([0.01, np.hypot(0.015, 0.01)])
    repeats, inside, shares, variances = 250, [], [], []
    for repeat in range(repeats):
        spread = distribution_spread(*simulate(repeat, examples=400, sigma_seed=0.015))
        splits = (spread.last_bit, spread.total)
        inside.append([s.distribution.low <= t <= s.distribution.high for s, t in zip(splits, truth, strict=True)])
        shares.append([s.distribution_share for s in splits])
        variances.append([s.observed.estimate**2 - s.test_set.estimate**2 for s in splits])
    # Nominal 0.95, known to 0.014 here; simulated between 0.94 and 0.97 over sizes.
    np.testing.assert_allclose(np.mean(inside, axis=0), 0.95, atol=0.04)
    # The variance of one answer, level (1 - level), over levels of 0.86 to 0.94 and the shifts; 400 examples.
    sampling = (0.09 - 0.08**2 / 12 - truth**2) / 400
    share = truth**2 / (truth**2 + sampling)
    held = [[one.low <= true <= one.high for one, true in zip(row, share, strict=True)] for row in shares]
    assert (np.mean(held, axis=0) > 0.93).all(), "at least 0.95, known to 0.014 here"
    error = np.std(variances, axis=0) / np.sqrt(repeats)
    assert (np.abs(np.mean(variances, axis=0) - truth**2) < 4 * error).all()


def test_the_share_is_of_the_variances_and_joins_the_far_ends():
    part, rest = Estimate(3.0, 1.0, 4.0, 9, "few"), Estimate(4.0, 2.0, 5.0, 9)
    share = SpreadSplit(Estimate(5.0, None, None, 9), part, rest).distribution_share
    assert (share.estimate, share.n, share.note) == (9 / 25, 9, "few")
    assert (share.low, share.high) == (1 / 26, 16 / 20)
    open_end = SpreadSplit(part, Estimate(0.0, 0.0, None, 9), rest).distribution_share
    assert (open_end.estimate, open_end.low, open_end.high) == (0.0, 0.0, None)
    unknown = not_measured("one seed", 4)
    assert SpreadSplit(unknown, unknown, rest).distribution_share == unknown
    assert SpreadSplit(part, part, unknown).distribution_share == unknown
    nothing = Estimate(0.0, 0.0, None, 9)
    assert not SpreadSplit(nothing, nothing, nothing).distribution_share.measured


def test_the_test_sets_standard_error_is_the_binomial_one():
    scores, seeds = simulate(6)
    accuracy = scores.mean(axis=1)
    spread = distribution_spread(scores, seeds)
    assert spread.test_set_se == pytest.approx(np.sqrt(np.mean(accuracy * (1 - accuracy) / 1000)), rel=1e-12)
    # Independent coin tosses per run: the test-set part of the spread is then the binomial error, nothing else.
    assert spread.last_bit.test_set.estimate == pytest.approx(spread.test_set_se, rel=0.02)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.floats(-10, 10), st.floats(0.01, 100))
def test_estimates_follow_shift_scale_and_relabelling(seed, shift, scale):
    scores, seeds = simulate(seed, n_seeds=4, runs=3, examples=50, sigma_seed=0.04)
    rng = np.random.default_rng(seed)

    def flat(spread, factor=1.0):
        splits = (spread.last_bit, spread.total)
        ends = [(e.estimate, e.low, e.high) for s in splits for e in (s.observed, s.distribution, s.test_set)]
        # Variances: an SD magnifies the rounding of a variance near 0.
        return [0.0 if x is None else (x / factor) ** 2 for triple in ends for x in triple]

    base = flat(distribution_spread(scores, seeds))
    moved = flat(distribution_spread(shift + scale * scores, seeds), scale)
    np.testing.assert_allclose(moved, base, rtol=1e-6, atol=1e-10)
    order, examples = rng.permutation(12), rng.permutation(50)
    shuffled = flat(distribution_spread(scores[order][:, examples], 7 - seeds[order]))
    np.testing.assert_allclose(shuffled, base, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=6), st.integers(0, 1000), st.floats(0, 1))
def test_any_small_study_gives_numbers_or_says_why_not(seeds, seed, share):
    scores = np.random.default_rng(seed).random((len(seeds), 4)) < share
    spread = distribution_spread(scores, seeds)
    json.dumps(plain(spread), allow_nan=False)
    for split in (spread.last_bit, spread.total):
        for part in (split.observed, split.distribution, split.test_set):
            assert part.measured != part.note.startswith("not measured: ")


def test_one_seed_and_one_run_per_seed_measure_what_they_can():
    scores, _ = simulate(7, n_seeds=1)
    spread = distribution_spread(scores, np.zeros(6))
    assert spread.last_bit.distribution.high is not None
    assert spread.total.observed.note.startswith("not measured: ")
    scores, seeds = simulate(8, n_seeds=6, runs=1)
    spread = distribution_spread(scores, seeds)
    assert spread.last_bit.distribution.note.startswith("not measured: ")
    assert spread.total.observed.estimate == pytest.approx(scores.mean(axis=1).std(ddof=1), rel=1e-10)


def test_two_seeds_leave_the_total_test_set_part_without_an_interval():
    split = distribution_spread(*simulate(9, n_seeds=2)).total
    assert (split.test_set.low, split.test_set.high, split.test_set.note) == (
        None,
        None,
        "an interval needs more seeds",
    )


def test_no_spread_is_said_and_left_open():
    spread = distribution_spread(np.full((6, 30), 0.1), [0, 0, 1, 1, 2, 2])
    for part in (spread.last_bit.observed, spread.last_bit.distribution, spread.total.test_set):
        assert (part.estimate, part.low, part.high) == (0.0, 0.0, None)
    within = distribution_spread(np.repeat(simulate(10, n_seeds=3, runs=1)[0], 2, axis=0), [0, 0, 1, 1, 2, 2])
    assert within.last_bit.test_set.high is None
    assert within.total.observed.estimate > 0


def test_equal_accuracies_of_different_errors_are_all_test_set():
    scores = np.ones((4, 8))
    scores[np.arange(4), np.arange(4)] = 0
    split = distribution_spread(scores, np.zeros(4)).last_bit
    assert (split.observed.estimate, split.distribution.estimate, split.distribution.high) == (0.0, 0.0, None)
    assert split.test_set.estimate == pytest.approx(np.sqrt(np.trace(covariances(scores)) / 8 / 7), rel=1e-12)


def test_json_holds_both_splits():
    stored = json.loads(json.dumps(plain(distribution_spread(*simulate(11)))))
    assert set(stored) == {"last_bit", "total", "test_set_se", "n_examples"}
    assert stored["last_bit"]["distribution"]["n"] == 36


@pytest.mark.parametrize(
    ("scores", "seeds", "message"),
    [
        (np.ones((3, 1)), [0, 1, 2], "at least one run and two examples"),
        (np.ones(3), [0], "2 axes"),
        ([[0.0, np.nan]], [0], "hold a NaN: leave the runs"),
        (np.ones((3, 4)), [0, 1], "one group for each of 3 runs"),
    ],
)
def test_bad_input_is_one_clear_line(scores, seeds, message):
    with pytest.raises(LastbitError, match=message):
        distribution_spread(scores, seeds)


def test_no_part_has_an_interval_of_no_width_where_all_spread_is_sampling():
    rng, inside = np.random.default_rng(21), []
    for _ in range(150):
        split = distribution_spread(rng.random((16, 200)) < 0.9, seeds=np.repeat(np.arange(4), 4))
        for part in (split.last_bit, split.total):
            assert part.distribution.high > part.distribution.low == 0.0 or part.distribution.low > 0.0
            inside.append(part.distribution.low == 0.0)
    assert np.mean(inside) > 0.93


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_scores_of_any_size_are_split(size):
    scores = np.random.default_rng(22).random((8, 50))
    plain, scaled = (distribution_spread(scores * unit, seeds=[0, 0, 1, 1, 2, 2, 3, 3]) for unit in (1.0, size))
    for which in ("last_bit", "total"):
        for part in ("observed", "distribution", "test_set"):
            one, other = (getattr(getattr(split, which), part) for split in (plain, scaled))
            assert other.estimate == pytest.approx(one.estimate * size, rel=1e-6)
            assert other.high == pytest.approx(one.high * size, rel=1e-6)
