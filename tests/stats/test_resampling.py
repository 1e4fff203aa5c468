"""Bootstrap and jackknife against SciPy's bootstrap, closed forms and slow twins."""

import numpy as np
import pytest
from scipy import stats

from lastbit.core.errors import LastbitError
from lastbit.stats import bootstrap_interval, jackknife_interval
from lastbit.stats.resampling import jackknife_se, leave_one_out_index


def mean_of(values):
    return lambda index: values[index].mean(axis=1)


def test_leave_one_out_index_names_every_other_unit():
    slow = [[j for j in range(6) if j != i] for i in range(6)]
    assert leave_one_out_index(6).tolist() == slow


def test_jackknife_of_a_mean_is_students_interval():
    values = np.random.default_rng(0).normal(3, 2, 11)
    left_out = values[leave_one_out_index(11)].mean(axis=1)
    low, high = jackknife_interval(values.mean(), left_out, level=0.9)
    oracle = stats.t.interval(0.9, 10, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose((low, high), oracle, rtol=1e-12)
    assert jackknife_se(left_out) == pytest.approx(stats.sem(values), rel=1e-12)


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_bootstrap_agrees_with_scipy(method):
    values = np.random.default_rng(1).exponential(size=40)

    def spread(index):
        return values[index].std(axis=1, ddof=1)

    ours = bootstrap_interval(spread, 40, resamples=20_000, method=method)
    theirs = stats.bootstrap(
        (values,),
        lambda x, axis: x.std(axis=axis, ddof=1),
        n_resamples=20_000,
        method="BCa" if method == "bca" else method,
        rng=np.random.default_rng(2),
    ).confidence_interval
    # Two sets of 20,000 resamples: a tail quantile of each is good to about 1 %.
    np.testing.assert_allclose(ours, tuple(theirs), rtol=0.03)


def test_bootstrap_is_a_function_of_its_seed():
    values = np.random.default_rng(3).normal(size=12)
    first = bootstrap_interval(mean_of(values), 12, seed=5)
    assert first == bootstrap_interval(mean_of(values), 12, seed=5)
    assert first != bootstrap_interval(mean_of(values), 12, seed=6)


def test_bootstrap_of_a_mean_covers():
    rng = np.random.default_rng(4)
    samples = rng.normal(size=(400, 40))
    ends = np.array([bootstrap_interval(mean_of(row), 40, resamples=400, seed=i) for i, row in enumerate(samples)])
    coverage = np.mean((ends[:, 0] <= 0) & (ends[:, 1] >= 0))
    # Nominal 0.95; 400 samples know it to 0.011, and 40 units cost the percentiles about 0.01.
    assert 0.90 < coverage < 0.98


def test_equal_values_give_an_interval_of_one_point():
    assert bootstrap_interval(mean_of(np.full(5, 2.0)), 5) == (2.0, 2.0)


def test_undefined_resamples_are_left_out():
    values = np.array([0.0, 1.0, 2.0, 3.0, 4.0])

    def ratio(index):
        mean = values[index].mean(axis=1)
        return np.where(mean > 1.0, mean, np.nan)

    low, high = bootstrap_interval(ratio, 5, method="percentile")
    assert 1.0 < low < 2.0 < high <= 4.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 1}, "at least two units"),
        ({"resamples": 99}, "needs at least 100"),
        ({"level": 95}, r"between 0 and 1, write 0\.95"),
        ({"level": 0.0}, "between 0 and 1"),
        ({"method": "bcaa"}, "did you mean 'bca'"),
        ({"statistic": lambda index: np.full(len(index), np.nan)}, "not defined on these samples"),
    ],
)
def test_bad_input_is_one_clear_line(change, message):
    arguments = {"statistic": mean_of(np.arange(4.0)), "n": 4} | change
    with pytest.raises(LastbitError, match=message):
        bootstrap_interval(**arguments)


def test_a_jackknife_of_one_unit_is_refused():
    with pytest.raises(LastbitError, match="at least two units"):
        jackknife_se(np.array([1.0]))
