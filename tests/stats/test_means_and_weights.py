"""Means of dependent runs, and the distance of weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from lastbit.core.errors import LastbitError
from lastbit.stats import mean_estimate, mean_relative_l1, weight_distance

weights = arrays(np.float32, 12, elements=st.floats(-1e6, 1e6, width=32))


def test_mean_has_students_interval():
    values = np.random.default_rng(0).normal(97, 0.3, 12)
    ours = mean_estimate(values, level=0.9)
    oracle = stats.t.interval(0.9, 11, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose([ours.estimate, ours.low, ours.high], [values.mean(), *oracle], rtol=1e-12)
    assert (ours.n, ours.note) == (12, "")


def test_mean_over_seeds_has_students_interval_over_their_means():
    values = np.random.default_rng(1).normal(size=(5, 4)) + np.arange(5)[:, None]
    ours = mean_estimate(values.ravel(), seeds=np.repeat(np.arange(5), 4))
    oracle = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values.mean(axis=1)))
    np.testing.assert_allclose([ours.estimate, ours.low, ours.high], [values.mean(), *oracle], rtol=1e-12)
    assert (ours.n, ours.note) == (5, "few seeds: 5")


def test_mean_over_seeds_covers_where_runs_taken_as_independent_do_not():
    rng = np.random.default_rng(2)
    seeds, covers = np.repeat(np.arange(6), 6), []
    for _ in range(500):
        values = rng.normal(size=6)[seeds] + 0.5 * rng.normal(size=36)
        both = mean_estimate(values, seeds=seeds), mean_estimate(values)
        covers.append([estimate.low <= 0 <= estimate.high for estimate in both])
    by_seed, by_run = np.mean(covers, axis=0)
    assert by_seed == pytest.approx(0.95, abs=0.03)
    assert by_run < 0.75


def test_equal_values_average_to_themselves_without_an_interval():
    ours = mean_estimate(np.full(7, 0.1))
    assert (ours.estimate, ours.low, ours.high) == (0.1, None, None)
    assert ours.note == "no spread seen over 7 samples: the interval is not measured"
    assert mean_estimate([3.0]).note == "an interval needs two samples, got 1"
    assert mean_estimate([3.0, 4.0], seeds=["a", "a"]).note == "an interval needs two seeds, got 1"


def slow_relative_l1(a, b):
    terms = [0.0 if x == y == 0 else 2 * abs(x - y) / (abs(x) + abs(y)) for x, y in zip(a, b, strict=True)]
    return sum(terms) / len(terms)


@settings(deadline=None, max_examples=60)
@given(weights, weights)
def test_relative_l1_is_its_definition(a, b):
    distance = mean_relative_l1(a, b)
    assert distance == pytest.approx(slow_relative_l1(a.tolist(), b.tolist()), rel=1e-12, abs=0)
    assert 0 <= distance <= 2
    assert distance == mean_relative_l1(b, a)
    assert mean_relative_l1(a, a) == 0.0
    assert mean_relative_l1(-2 * a, -2 * b) == pytest.approx(distance, rel=1e-12, abs=0)


def test_relative_l1_sees_one_ulp_and_opposite_signs():
    ones = np.ones((3, 4), dtype=np.float32)
    assert mean_relative_l1(ones, np.nextafter(ones, np.float32(2))) == pytest.approx(2**-23, rel=1e-6)
    assert mean_relative_l1(ones, -ones) == 2.0
    assert mean_relative_l1(np.zeros(3), np.zeros(3)) == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_estimate([]), "at least one value"),
        (lambda: mean_estimate([1.0, np.nan]), "hold a NaN"),
        (lambda: mean_estimate([1.0, 2.0], seeds=[0]), "one group for each of 2 runs"),
        (lambda: mean_relative_l1(np.ones(3), np.ones(4)), r"one shape, got \(3,\) and \(4,\)"),
        (lambda: mean_relative_l1([], []), "empty"),
        (lambda: mean_relative_l1([np.inf], [1.0]), "infinite"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(LastbitError, match=message):
        call()


@pytest.mark.parametrize("size", [1e-300, 1e-150, 1e150, 1e300])
def test_a_mean_holds_at_any_size_of_number(size):
    values = np.array([97.1, 97.4, 97.2, 96.9])
    plain, scaled = mean_estimate(values), mean_estimate(values * size)
    for name in ("estimate", "low", "high"):
        assert getattr(scaled, name) == pytest.approx(getattr(plain, name) * size, rel=1e-9)


def test_weights_of_any_size_are_compared():
    assert mean_relative_l1([1e308, -1e308], [1.5e308, 1e308]) == pytest.approx((0.4 + 2) / 2)
    assert mean_relative_l1([1e-300, 5e-324], [1.5e-300, 5e-324]) == pytest.approx(0.2)


def test_seeds_that_are_all_as_far_apart_have_no_interval_of_no_width():
    found = weight_distance([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], seeds=[0, 1, 2]).seed
    assert (found.low, found.high) == (None, None)
    assert found.note == "no spread seen over 3 seeds: the interval is not measured"
