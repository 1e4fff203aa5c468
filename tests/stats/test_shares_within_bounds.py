"""A share lies between 0 and 1, whatever the grid: its estimate, and both ends of its interval."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lastbit.stats import churn, variance_components

GRIDS = st.tuples(st.integers(1, 4), st.integers(1, 4))
VALUES = st.one_of(
    st.integers(0, 5).map(lambda n: 100 * n / 5),  # the few values that a small test set allows
    st.floats(0, 100),
    st.floats(-1e6, 1e6),
    st.just(np.nan),
)


def inside(estimate):
    ends = [end for end in (estimate.low, estimate.estimate, estimate.high) if end is not None]
    return ends == sorted(ends) and all(0.0 <= end <= 1.0 for end in ends)


@settings(deadline=None, max_examples=200)
@given(GRIDS.flatmap(lambda shape: arrays(float, shape, elements=VALUES)), st.sampled_from([0.5, 0.95, 0.999]))
def test_the_last_bits_share_of_the_variance_is_a_share(table, level):
    if np.isnan(table).all():
        table[0, 0] = 1.0
    assert inside(variance_components(table, level=level).last_bit_variance_share)


@pytest.mark.parametrize("seed", range(5))
def test_the_bootstraps_share_is_a_share_too(seed):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(3, 1)) * seed / 4 + rng.normal(size=(3, 3))
    found = variance_components(table, interval="bootstrap", resamples=200)
    assert inside(found.last_bit_variance_share)


@st.composite
def predicted(draw):
    seeds, runs, examples = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 6))
    labels = arrays(np.int64, (seeds * runs, examples), elements=st.integers(0, 2))
    return draw(labels), np.repeat(np.arange(seeds), runs)


@settings(deadline=None, max_examples=300)
@given(predicted(), st.sampled_from([0.5, 0.95, 0.999]))
def test_churn_is_a_share(given_runs, level):
    predictions, seeds = given_runs
    found = churn(predictions, seeds, level=level)
    assert inside(found.churn_last_bit)
    assert inside(found.churn_seed)
