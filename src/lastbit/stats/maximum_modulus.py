"""The studentised maximum modulus: how large the largest of several |t| gets by chance.

    P(max_i |Z_i| / S <= m) = integral of (2 Phi(m s) - 1)^k f_S(s) ds,   S^2 = chi^2_nu/nu,   Z_1 ... Z_k independent

Differences that share an arm are correlated, and their largest is smaller than that of independent ones (Sidak 1967, J.
Amer. Statist. Assoc. 62, 626-633): an interval that it makes covers at least as often as it says.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import optimize, special, stats

from lastbit.core.errors import LastbitError
from lastbit.stats._inputs import Floats, check_level

__all__ = ["maximum_modulus_p", "maximum_modulus_quantile"]

_NORMAL_DF = 1e5


@cache
def _nodes(df: float) -> tuple[Floats, Floats]:
    """Nodes and weights of S: Gauss-Legendre between quantiles beyond which nothing is left that matters."""
    if df >= _NORMAL_DF:
        return np.ones(1), np.ones(1)
    low, high = np.sqrt(stats.chi2.ppf([1e-14, 1 - 1e-14], df))
    points, weights = special.roots_legendre(400)
    middles = (high + low) / 2 + (high - low) / 2 * points
    mass = weights * stats.chi.pdf(middles, df)
    return middles / np.sqrt(df), mass / mass.sum()


def maximum_modulus_p(t: float, count: int, df: float) -> float:
    """Return the chance that the largest of `count` |t| on df degrees of freedom exceeds |t|.

    Raises:
        LastbitError: no comparison, or less than one degree of freedom.

    Example:
        >>> round(maximum_modulus_p(2.5, 1, 10.0), 4), round(maximum_modulus_p(2.5, 3, 10.0), 4)
        (0.0314, 0.0863)
    """
    _check(count, df)
    spread, weight = _nodes(df)
    inside = 2 * special.ndtr(abs(t) * spread) - 1
    return float(weight @ -np.expm1(count * np.log(np.maximum(inside, 1e-300))))


def maximum_modulus_quantile(count: int, df: float, level: float = 0.95) -> float:
    """Return what the largest of `count` |t| on df degrees of freedom stays below with a chance of `level`.

    Raises:
        LastbitError: no comparison, less than one degree of freedom, or a bad level.

    Example:
        >>> round(maximum_modulus_quantile(3, 10.0), 3)
        2.829
    """
    check_level(level)
    _check(count, df)
    # Bonferroni's quantile is never below it.
    high = float(stats.t.isf((1 - level) / (2 * count), df)) * (1 + 1e-6) + 1e-6
    return float(
        optimize.brentq(lambda value: maximum_modulus_p(value, count, df) - (1 - level), 0.0, high, xtol=1e-10)
    )


def _check(count: int, df: float) -> None:
    if count < 1 or not df >= 1:
        raise LastbitError(f"count = {count}, df = {df}: a largest |t| needs a comparison and a degree of freedom")
