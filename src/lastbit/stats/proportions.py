"""How likely something is that happened k times of n."""

from __future__ import annotations

from scipy import stats

from lastbit.core.errors import LastbitError
from lastbit.stats._inputs import check_level
from lastbit.stats.estimate import Estimate, not_measured

__all__ = ["fewer_by_chance", "proportion_estimate"]


def proportion_estimate(count: int, n: int, *, level: float = 0.95) -> Estimate:
    """Return the share of `count` in `n` independent trials, with the exact interval of Clopper and Pearson.

    It is the chance that one more trial would be such a one. Source: Clopper and Pearson (1934), Biometrika 26,
    404-413.

    Args:
        count: how many trials were such.
        n: how many trials there were.
        level: confidence level.

    Raises:
        LastbitError: more such trials than trials, a negative number, or a bad level.

    Example:
        >>> print(proportion_estimate(1, 6))
        0.17 [0.004, 0.64] (n = 6)
    """
    check_level(level)
    if not 0 <= count <= n:
        raise LastbitError(f"{count} of {n} is no share: count lies between 0 and the number of trials")
    if not n:
        return not_measured("there were no trials")
    found = stats.binomtest(count, n).proportion_ci(level, method="exact")
    return Estimate(count / n, float(found.low), float(found.high), n)


def fewer_by_chance(before: int, after: int, n: int) -> float:
    """Return the chance that `after` of `n` trials or fewer are such where nothing has changed since `before` of `n`.

    Fisher's exact test, one-sided: the chance that, of all `before + after` such trials, that few fall among the later
    ones. Source: Fisher (1935), The Design of Experiments, chapter 2.

    Args:
        before: how many of the first trials were such.
        after: how many of the later ones.
        n: how many trials there were each time.

    Raises:
        LastbitError: more such trials than trials, or a negative number.

    Example:
        >>> round(fewer_by_chance(4, 0, 4), 6)  # 1 of the 70 ways in which 4 of 8 trials can fall
        0.014286
    """
    if not all(0 <= count <= n for count in (before, after)):
        raise LastbitError(f"{before} and {after} of {n} are no shares: a count lies between 0 and the trials")
    return float(stats.hypergeom(2 * n, before + after, n).cdf(after)) if n else 1.0
