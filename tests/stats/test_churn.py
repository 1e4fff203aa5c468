"""Churn against pairs counted one by one, hand-made jackknifes and simulated runs with a known truth."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from lastbit.core.errors import LastbitError
from lastbit.stats import churn, disagreement_matrix


def slow_matrix(predictions):
    return [[sum(a != b for a, b in zip(r, s, strict=True)) / len(r) for s in predictions] for r in predictions]


def slow_means(matrix, seeds):
    pairs = list(itertools.combinations(range(len(seeds)), 2))
    within = [matrix[i][j] for i, j in pairs if seeds[i] == seeds[j]]
    between = [matrix[i][j] for i, j in pairs if seeds[i] != seeds[j]]
    return (np.mean(within) if within else None), (np.mean(between) if between else None)


def logit_interval(estimate, left_out, level=0.95):
    n, left_out = len(left_out), special.logit(left_out)
    se = np.sqrt((n - 1) * left_out.var())
    reach = stats.t.ppf((1 + level) / 2, n - 1) * se
    return special.expit(special.logit(estimate) + np.array([-reach, reach]))


@pytest.mark.parametrize("classes", [2, 10, 5000])
def test_matrix_is_that_of_pairs_compared_one_by_one(classes):
    predictions = np.random.default_rng(0).integers(0, classes, (7, 40))
    np.testing.assert_allclose(disagreement_matrix(predictions), slow_matrix(predictions.tolist()), atol=1e-15)


def test_matrix_takes_booleans_and_labels_of_any_sign():
    matrix = disagreement_matrix(np.array([[True, False], [True, True]]))
    assert matrix.tolist() == [[0.0, 0.5], [0.5, 0.0]]
    assert disagreement_matrix([[-1, 255], [-1, 7]])[0, 1] == 0.5


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int64])
def test_matrix_does_not_depend_on_the_integer_type(dtype):
    low = -100 if np.dtype(dtype).kind == "i" else 0
    rng = np.random.default_rng(5)
    wide = rng.choice([low, 100, low + 3], (210, 12))
    np.testing.assert_array_equal(disagreement_matrix(wide.astype(dtype)), disagreement_matrix(wide[:, ::-1]))
    few = np.array([[-128, 127, 0], [127, 127, 0]]) + (0 if low else 128)
    if np.iinfo(dtype).min <= few.min():
        assert disagreement_matrix(few.astype(dtype))[0, 1] == pytest.approx(1 / 3)


def test_means_and_intervals_are_those_of_seeds_left_out_one_by_one():
    rng = np.random.default_rng(1)
    seeds = np.array([3, 3, 3, 8, 8, 1, 1, 1, 1, 5])
    predictions = rng.integers(0, 3, (10, 60))
    result = churn(predictions, seeds)
    within, between = slow_means(slow_matrix(predictions.tolist()), seeds)
    assert result.churn_last_bit.estimate == pytest.approx(within, rel=1e-12)
    assert result.churn_seed.estimate == pytest.approx(between, rel=1e-12)
    left_out = [slow_means(slow_matrix(predictions[seeds != s].tolist()), seeds[seeds != s]) for s in (1, 3, 5, 8)]
    np.testing.assert_allclose(
        [result.churn_seed.low, result.churn_seed.high],
        logit_interval(between, np.array([pair[1] for pair in left_out])),
        rtol=1e-9,
    )
    # Seed 5 has a single run, so no pair within: only the other three can be left out.
    np.testing.assert_allclose(
        [result.churn_last_bit.low, result.churn_last_bit.high],
        logit_interval(within, np.array([left_out[k][0] for k in (0, 1, 3)])),
        rtol=1e-9,
    )
    assert (result.churn_last_bit.n, result.churn_seed.n) == (9, 4)
    assert result.churn_seed.note == "few seeds: 4"


@pytest.mark.parametrize("runs", [3, 5])
def test_one_seed_leaves_out_runs(runs):
    predictions = np.random.default_rng(2).integers(0, 4, (runs, 50))
    result = churn(predictions, np.zeros(runs))
    left_out = [
        slow_means(slow_matrix(np.delete(predictions, r, axis=0).tolist()), np.zeros(runs - 1))[0] for r in range(runs)
    ]
    np.testing.assert_allclose(
        [result.churn_last_bit.low, result.churn_last_bit.high],
        logit_interval(result.churn_last_bit.estimate, np.array(left_out)),
        rtol=1e-9,
    )
    assert result.churn_seed.note == "not measured: churn over seeds needs two seeds, got 1"


def test_what_cannot_be_estimated_is_not_measured():
    rng = np.random.default_rng(3)
    single = churn(rng.integers(0, 2, (4, 30)), [0, 1, 2, 3])
    assert (
        single.churn_last_bit.note == "not measured: churn of the last bit needs two perturbations of one seed, got 1"
    )
    assert single.churn_seed.measured
    two = churn(rng.integers(0, 2, (4, 30)), [0, 0, 1, 1])
    assert two.churn_last_bit.high is not None
    assert (two.churn_seed.low, two.churn_seed.note) == (None, "an interval needs three seeds, got 2")
    pair = churn(rng.integers(0, 2, (2, 30)), [0, 0])
    assert (pair.churn_last_bit.low, pair.churn_last_bit.note) == (None, "an interval needs three runs, got 2")
    lone = churn(rng.integers(0, 2, (3, 30)), [0, 0, 1])
    assert lone.churn_last_bit.note == "an interval needs twins in two seeds, got one such seed"


def test_no_disagreement_leaves_the_upper_end_open():
    result = churn(np.ones((6, 30), dtype=int), [0, 0, 1, 1, 2, 2])
    for estimate in (result.churn_last_bit, result.churn_seed):
        assert (estimate.estimate, estimate.low, estimate.high) == (0.0, 0.0, None)
        assert estimate.note.startswith("no disagreement seen")


def test_seeds_that_all_disagree_alike_leave_no_interval():
    result = churn(np.arange(6)[:, None] * np.ones((1, 20), dtype=int), [0, 0, 1, 1, 2, 2])
    assert (result.churn_seed.estimate, result.churn_seed.low, result.churn_seed.high) == (1.0, None, None)
    assert result.churn_seed.note.startswith("no spread seen over seeds")


def test_a_left_out_seed_without_disagreement_keeps_the_interval_inside_the_unit_interval():
    predictions = np.zeros((6, 20), dtype=int)
    predictions[5, :3] = 1
    churned = churn(predictions, [0, 0, 1, 1, 2, 2]).churn_last_bit
    assert churned.low == 0.0 < churned.estimate < churned.high < 1.0


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_order_names_and_labels_do_not_matter(seed, n_seeds):
    rng = np.random.default_rng(seed)
    seeds = np.repeat(np.arange(n_seeds), 3)
    predictions = rng.integers(0, 4, (len(seeds), 25))
    base = churn(predictions, seeds)
    order, examples, labels = rng.permutation(len(seeds)), rng.permutation(25), rng.permutation(4)
    names = np.array(["a", "b", "c", "d", "e"])[rng.permutation(5)]
    moved = churn(labels[predictions][order][:, examples], names[seeds][order])
    np.testing.assert_allclose(moved.matrix, base.matrix[np.ix_(order, order)], atol=1e-12)
    for name in ("churn_last_bit", "churn_seed"):
        left, right = getattr(base, name), getattr(moved, name)
        assert (left.low is None) == (right.low is None)
        np.testing.assert_allclose(
            [x for x in (right.estimate, right.low, right.high) if x is not None],
            [x for x in (left.estimate, left.low, left.high) if x is not None],
            atol=1e-9,
        )
    assert (base.matrix == base.matrix.T).all()
    assert (np.diag(base.matrix) == 0).all()


def test_intervals_cover_simulated_runs():
    rng = np.random.default_rng(4)
    examples, classes = 200, 3
    base = 2 * rng.normal(size=(examples, classes))

    def predictions(n_seeds, runs):
        seed = np.repeat(rng.normal(size=(n_seeds, examples, classes)), runs, axis=0)
        return (base + 0.8 * seed + 0.5 * rng.normal(size=seed.shape)).argmax(axis=-1)

    truth = churn(predictions(300, 2), np.repeat(np.arange(300), 2))
    results = [churn(predictions(5, 4), np.repeat(np.arange(5), 4)) for _ in range(400)]
    for name in ("churn_last_bit", "churn_seed"):
        target = getattr(truth, name).estimate
        inside = [getattr(r, name).low <= target <= getattr(r, name).high for r in results]
        # Nominal 0.95; 400 repeats know it to 0.011, and the jackknife over 5 seeds is off by up to 0.03.
        assert np.mean(inside) == pytest.approx(0.95, abs=0.05)


@pytest.mark.parametrize(
    ("predictions", "seeds", "message"),
    [
        ([[0.1, 0.9], [0.2, 0.8]], [0, 1], r"write scores\.argmax\(-1\)"),
        ([0, 1, 2], [0], r"\(runs, examples\) array, got shape \(3,\)"),
        (np.zeros((2, 0), dtype=int), [0, 1], "non-empty"),
        ([[0, 1], [1, 1]], [0, 1, 2], "one group for each of 2 runs"),
    ],
)
def test_bad_input_is_one_clear_line(predictions, seeds, message):
    with pytest.raises(LastbitError, match=message):
        churn(predictions, seeds)
