"""The numbers of an edge-of-stability study on series whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from lastbit.studies.eos.growth_share import split_growth
from lastbit.studies.eos.tail import entered_at, tail_mean


def test_tail_mean_is_that_of_the_last_third():
    steps = np.arange(0, 300)
    values = np.where(steps < 200, 5.0, 1.0) + 1e-3 * np.sin(steps)
    found = tail_mean(steps, values)
    assert found.estimate == pytest.approx(1.0, abs=1e-3)


def test_the_interval_covers_the_mean_of_a_correlated_series_where_students_does_not():
    """An AR(1) series with correlation 0.9: 500 points hold the information of 26."""
    rng = np.random.default_rng(0)
    hits, naive, widths = 0, 0, []
    for _ in range(300):
        noise = rng.normal(size=1700)
        series = np.zeros(1700)
        for i in range(1, 1700):
            series[i] = 0.9 * series[i - 1] + noise[i]
        series = series[200:]
        found = tail_mean(np.arange(1500), series)
        hits += found.low <= 0 <= found.high
        widths.append(found.high - found.low)
        tail = series[-500:]
        naive += abs(tail.mean()) < 1.96 * tail.std() / np.sqrt(len(tail))
    assert hits / 300 >= 0.93
    # The variance of the mean of an autoregression of unit innovations, where 500 values are many, is 1/(0.1² 500).
    assert np.median(widths) == pytest.approx(2 * 1.96 / (0.1 * 500**0.5), rel=0.3)
    assert naive / 300 < 0.6


def coverage(rho, n, repeats):
    """How often the 95% interval of a tail of `n` values is given, and how often it then holds the mean, 0.

    The values are those of a first-order autoregression, which is stationary from its first value on.
    """
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((repeats, n))
    noise[:, 0] /= np.sqrt(1 - rho**2)
    # The first step stands alone, so that all the others are the last third.
    steps, hits = np.concatenate([[0], 2 * n + np.arange(n)]), []
    for tail in lfilter([1], [1, -rho], noise):
        found = tail_mean(steps, np.append(np.nan, tail))
        if found.low is not None:
            hits.append(found.low <= 0 <= found.high)
    return len(hits) / repeats, float(np.mean(hits))


def test_the_interval_covers_the_mean_of_a_strongly_correlated_series():
    """Ten batch means alone cover 64%; of 400 series 97% get an interval: their 97% have a standard error of 0.9%."""
    given, covered = coverage(0.99, 500, 400)
    assert given > 0.6
    assert covered >= 0.9


@pytest.mark.parametrize(("n", "rho"), [(20, 0.97), (20, 0.99), (60, 0.99)])
def test_an_interval_of_a_short_and_strongly_correlated_tail_covers_or_is_not_given(n, rho):
    """Refusing whatever looks strongly correlated covers 75% to 84% here: what is left are the tails that mislead.

    Of 2000 series three quarters get an interval, whose 93% would have a standard error of 0.7%.
    """
    given, covered = coverage(rho, n, 2000)
    assert covered >= 0.9
    assert given > 0.7


def test_a_tail_without_correlation_keeps_a_narrow_interval():
    """Of 60 independent values, Student's interval reaches 0.26 of their standard deviation to either side."""
    rng = np.random.default_rng(0)
    tails = rng.standard_normal((100, 60))
    steps = np.concatenate([[0], 120 + np.arange(60)])
    reach = [(found.high - found.low) / 2 for found in (tail_mean(steps, np.append(np.nan, tail)) for tail in tails)]
    assert 0.26 < np.median(reach) < 0.4


def test_a_tail_worth_a_single_measurement_says_so():
    found = tail_mean(np.arange(300), np.linspace(0.5, 1.0, 300))
    assert found.n == 1
    assert found.estimate == pytest.approx(0.92, abs=0.01)
    assert found.low is None
    assert found.note.startswith("too correlated to say")


CORRELATIONS = 0.0, 0.5, 0.9, 0.97, 0.99


@pytest.mark.evidence
@pytest.mark.parametrize(
    ("n", "rho", "stated"),
    [
        *((20, rho, stated) for rho, stated in zip(CORRELATIONS, (0.99, 0.98, 0.97, 0.95, 0.93), strict=True)),
        *((60, rho, stated) for rho, stated in zip(CORRELATIONS, (0.98, 0.98, 0.97, 0.96, 0.94), strict=True)),
        *((200, rho, stated) for rho, stated in zip(CORRELATIONS, (0.98, 0.97, 0.97, 0.97, 0.96), strict=True)),
        *((500, rho, stated) for rho, stated in zip(CORRELATIONS, (0.97, 0.97, 0.97, 0.97, 0.97), strict=True)),
    ],
)
def test_the_interval_covers_as_often_as_stated(n, rho, stated, record_property):
    given, covered = coverage(rho, n, 2000)
    record_property("measured", f"the 95% interval is given in {given:.1%} and then covers the mean in {covered:.1%}")
    assert covered >= stated - 3 * np.sqrt(stated * (1 - stated) / (2000 * given))


def test_a_short_or_empty_tail_is_not_measured():
    assert tail_mean(np.arange(30), np.ones(30)).estimate is None
    assert tail_mean(np.empty(0), np.empty(0)).estimate is None
    assert tail_mean(np.arange(300), np.full(300, np.nan)).estimate is None


def test_entry_is_the_first_measurement_at_the_limit():
    assert entered_at(np.array([3, 6, 9]), np.array([0.9, 1.0, 0.8])) == 6
    assert entered_at(np.array([3, 6]), np.array([0.9, np.nan])) is None


def twins(rates, ratio, noise=0.0, seed=0):
    """Distances that grow by the given rates per step, two twins."""
    rng = np.random.default_rng(seed)
    logs = np.log(1e-8) + np.concatenate([[0.0], np.cumsum(rates)])[None] + noise * rng.normal(size=(2, len(rates) + 1))
    return split_growth(np.arange(len(rates) + 1), np.append(ratio, ratio[-1]), np.exp(logs), 1e-12)


def test_growth_that_follows_the_limit_lies_above_it_and_growth_that_does_not_lies_where_the_steps_are():
    rng = np.random.default_rng(1)
    ratio = np.where(rng.random(2000) < 0.3, 1.05, 0.95)
    bound = twins(np.where(ratio > 1, 0.02, -0.005), ratio)
    assert bound.share_above_limit.estimate == 1.0
    assert bound.rate_above_limit.estimate == pytest.approx(0.02, rel=1e-9)
    assert bound.rate_below_limit.estimate == pytest.approx(-0.005, rel=1e-9)
    free = twins(np.full(2000, 0.01), ratio)
    assert free.share_above_limit.estimate == pytest.approx(free.share_of_steps_above_limit, abs=1e-9)
    assert free.share_above_limit.low < free.share_of_steps_above_limit < free.share_above_limit.high


def test_the_interval_of_the_share_covers_the_share_behind_the_noise():
    hits = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        ratio = np.where(rng.random(400) < 0.5, 1.05, 0.95)
        gains = rng.exponential(np.where(ratio > 1, 0.03, 0.01))
        split = twins(gains, ratio, seed=seed)
        hits += split.share_above_limit.low <= 0.75 <= split.share_above_limit.high
    assert hits / 120 >= 0.88


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.integers(45, 200))
def test_the_share_does_not_depend_on_the_unit_of_the_distance(seed, scale, count):
    rng = np.random.default_rng(seed)
    ratio = rng.uniform(0.8, 1.2, count)
    distance = np.exp(rng.normal(size=(3, count)).cumsum(axis=1))
    one = split_growth(np.arange(count), ratio, distance, 1e-9)
    other = split_growth(np.arange(count), ratio, scale * distance, 1e-9 * scale)
    assert 0 <= one.share_above_limit.estimate <= 1
    assert one.share_above_limit.estimate == pytest.approx(other.share_above_limit.estimate, abs=1e-9)
    total = one.rate_above_limit.estimate, one.rate_below_limit.estimate
    assert all(value is None or np.isfinite(value) for value in total)


def test_growth_below_the_rounding_of_one_step_is_none():
    steps = np.arange(100)
    distance = np.exp(np.linspace(np.log(1e-12), np.log(1e-9), 100))[None]
    split = split_growth(steps, np.full(100, 1.2), distance, floor=1e-8)
    assert split.share_above_limit.estimate is None
    assert split.decades == pytest.approx(0.0)


def test_twins_that_never_differ_have_no_growth():
    split = split_growth(np.arange(100), np.full(100, 1.2), np.zeros((2, 100)), 1e-8)
    assert split.share_above_limit.note.endswith("the twins never differed")
