"""Power where SciPy cannot give the lower tail of the noncentral t distribution."""

import numpy as np
import pytest
import scipy.stats

from lastbit.stats.noncentral import t_test_power


@pytest.mark.parametrize("df", [1.0, 1.2, 1.5, 2.09, 3.7])
def test_power_is_known_where_scipys_lower_tail_is_not(df):
    noncentrality, rng = 8.0, np.random.default_rng(5)
    draws = (rng.standard_normal(400_000) + noncentrality) / np.sqrt(rng.chisquare(df, 400_000) / df)
    edge = scipy.stats.t.ppf(0.975, df)
    assert t_test_power(noncentrality, df) == pytest.approx(np.mean(np.abs(draws) > edge), abs=0.004)
