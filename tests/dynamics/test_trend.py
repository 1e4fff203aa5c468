import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import t

from lastbit.core.errors import LastbitError
from lastbit.dynamics.trend import fit_trend


def autoregression(rng, rho, n):
    return lfilter([1], [1, -rho], rng.standard_normal(n + 300))[300:]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 0.9]), st.floats(-3, 3))
def test_slope_and_error_against_statsmodels(seed, rho, slope):
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.uniform(0.5, 2, 60))
    y = slope * x + autoregression(rng, rho, 60)
    found = fit_trend(x, y)
    design = sm.add_constant(x)
    plain = sm.OLS(y, design).fit()
    assert found.slope == pytest.approx(plain.params[1], rel=1e-9, abs=1e-11)
    # The dense sandwich with the same autoregressive correlation: (X'X)^-1 X' R X (X'X)^-1 s².
    lags = np.abs(np.subtract.outer(np.arange(60), np.arange(60)))
    bread = np.linalg.inv(design.T @ design)
    dense = plain.mse_resid * bread @ design.T @ found.correlation**lags @ design @ bread
    freedom = max(60 * (1 - found.correlation) / (1 + found.correlation) - 1.5, 1.5)
    assert found.high - found.slope == pytest.approx(t.ppf(0.975, freedom) * np.sqrt(dense[1, 1]), rel=1e-6)
    assert found.slope - found.low == pytest.approx(found.high - found.slope)


@pytest.mark.parametrize(
    ("rho", "n", "misses"), [(0.0, 60, 0.05), (0.5, 170, 0.06), (0.9, 170, 0.08), (0.97, 500, 0.09)]
)
def test_the_interval_misses_as_often_as_stated(rho, n, misses):
    rng = np.random.default_rng(int(100 * rho) + n)
    fits = [fit_trend(range(n), autoregression(rng, rho, n)) for _ in range(500)]
    missed = np.mean([not (fit.low <= 0 <= fit.high) for fit in fits])
    # Three standard errors of 500 draws.
    assert abs(missed - misses) < 3 * np.sqrt(misses / 500)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_units_and_origin_do_not_matter(seed, wide, tall, shift):
    rng = np.random.default_rng(seed)
    x, y = np.arange(30.0), rng.standard_normal(30)
    found, scaled = fit_trend(x, y), fit_trend(wide * x + shift, tall * y + shift)
    for name in ("slope", "low", "high"):
        expected = getattr(found, name) * tall / wide
        # The shift costs digits where the line is small beside it.
        assert getattr(scaled, name) == pytest.approx(expected, rel=1e-5, abs=1e-9 * (tall + 1) / wide)


def test_a_perfect_line_has_no_width_and_few_values_have_no_interval():
    found = fit_trend(np.arange(50), 3.0 * np.arange(50) - 7)
    assert found.high - found.low < 1e-12
    assert found.slope == pytest.approx(3)
    assert fit_trend([0, 1, 2], [0, 1, 3]).high == np.inf


def test_bad_input_is_named():
    with pytest.raises(LastbitError, match="two places"):
        fit_trend([1], [1])
    with pytest.raises(LastbitError, match="two places"):
        fit_trend([1, 1], [1, 2])
    with pytest.raises(LastbitError, match="level = 95"):
        fit_trend([0, 1], [0, 1], level=95)
