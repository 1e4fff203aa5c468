"""The power of a t test from Student's noncentral distribution, where SciPy's tail is not a number too.

Under a true difference of lambda standard errors, t has that distribution with noncentrality lambda. Source: Cohen
(1988), Statistical Power Analysis, chapter 2.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, stats

from lastbit.core.errors import LastbitError
from lastbit.stats._inputs import Floats, check_level

__all__ = ["check_power", "detectable_noncentrality", "exceedance", "t_test_power"]

_NORMAL_DF = 1e5
"""Degrees of freedom from which Student's noncentral distribution counts as normal (the powers differ by < 1e-4)."""


def t_test_power(noncentrality: float, df: float, level: float = 0.95) -> float:
    """Return the power P(|t| > critical) of the two-sided t test at 1 - level.

    Args:
        noncentrality: true difference over its standard error.
        df: degrees of freedom of the standard error.
        level: confidence level of the test.
    """
    edge = stats.norm.ppf((1 + level) / 2) if df >= _NORMAL_DF else stats.t.ppf((1 + level) / 2, df)
    return float(exceedance(edge, noncentrality, df))


def exceedance(edge: Floats | float, noncentrality: float, df: float) -> Floats:
    """Return P(|t| > edge) of Student's noncentral distribution on df degrees of freedom, for edges of any shape."""
    if df >= _NORMAL_DF:
        return np.asarray(stats.norm.sf(edge - noncentrality) + stats.norm.cdf(-edge - noncentrality))
    upper, lower = stats.nct.sf(edge, df, noncentrality), stats.nct.cdf(-edge, df, noncentrality)
    # SciPy's lower tail is NaN for some small df where it is negligible: t < 0 only if its numerator is, so the tail is
    # below Phi(-noncentrality), 3e-5 at 4.
    return np.asarray(upper + np.where(np.isnan(lower) & (noncentrality >= 4), 0.0, lower))


def check_power(power: float, level: float) -> None:
    """Refuse a level outside (0, 1), and a power that a test at it has without a difference, or never."""
    check_level(level)
    if not 1 - level < power < 1:
        raise LastbitError(f"power = {power}: it must lie above the test's size {1 - level:.3g} and below 1")


def detectable_noncentrality(df: float, *, power: float = 0.8, level: float = 0.95) -> float:
    """Return the noncentrality at which the two-sided t test at 1 - level has the given power.

    Raises:
        LastbitError: the level is outside (0, 1), the power not above the test's size 1 - level or not below 1, or
            there is less than one degree of freedom.

    Example:
        >>> round(detectable_noncentrality(30), 3)
        2.895
    """
    check_power(power, level)
    if not df >= 1:
        raise LastbitError(f"df = {df}: a t test needs an SD on at least one degree of freedom")
    high = 4.0
    while t_test_power(high, df, level) < power:
        high *= 2
    return float(optimize.brentq(lambda value: t_test_power(value, df, level) - power, 0.0, high, xtol=1e-10))
