"""Two networks on the same test examples: which of them is better on such examples, apart from how they were trained.

Of n examples, b are right in B alone and c in A alone. McNemar's exact test asks whether b of b + c is a fair coin's.
The difference of the two accuracies is Delta = psi (2 pi - 1), psi the chance that exactly one of the two is right, pi
that it is then B. Its interval takes pi from the exact interval of b of b + c and psi from that of b + c of n, with
misses that add up to 1 - level, and so covers at least as often as it says. Taking b + c for given would be shorter
and miss half of the time where all of them fall on one side.

Source: McNemar (1947), Psychometrika 12, 153-157; Clopper and Pearson (1934), Biometrika 26, 404-413; Berger and Boos
(1994), J. Amer. Statist. Assoc. 89, 1012-1016, for covering what is not asked for at a level of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from lastbit.core.errors import LastbitError
from lastbit.stats._inputs import check_level, finite_array
from lastbit.stats.estimate import Estimate
from lastbit.stats.proportions import proportion_estimate

__all__ = ["PairedExamples", "compare_paired_examples"]

_FOR_PSI = 0.1
"""Of what the interval may miss, the part that goes to psi: pi, from fewer examples, is the less certain of the two."""


@dataclass(frozen=True)
class PairedExamples:
    """What two networks say on one test set; of other trainings of either it says nothing.

    Attributes:
        difference: accuracy of B minus that of A, as a share between -1 and 1; n counts examples.
        p_value: McNemar's exact one, two-sided.
        only_a: examples that A alone has right.
        only_b: examples that B alone has right.
        both: examples that both have right.
        neither: examples that none has right.
        procedure: the names of test and interval.
    """

    difference: Estimate
    p_value: float
    only_a: int
    only_b: int
    both: int
    neither: int
    procedure: str


def compare_paired_examples(right_a: ArrayLike, right_b: ArrayLike, *, level: float = 0.95) -> PairedExamples:
    """Return McNemar's test and the interval of the difference of accuracies of two networks on the same examples.

    Args:
        right_a: (N,) whether A is right on each example, True or False, 1 or 0.
        right_b: (N,) whether B is right on the same examples, in the same order.
        level: confidence level.

    Raises:
        LastbitError: no examples, other than 0 and 1, different numbers of examples, or a bad level.

    Example:
        >>> found = compare_paired_examples([1, 1, 0, 0, 1, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1, 1, 1, 1, 0])
        >>> found.difference.format(), round(found.p_value, 3)
        ('0.50 [-0.17, 0.96] (n = 10)', 0.125)
    """
    check_level(level)
    first, second = finite_array(right_a, "the scores of A", 1), finite_array(right_b, "the scores of B", 1)
    if len(first) != len(second):
        raise LastbitError(f"{len(first)} scores of A and {len(second)} of B: both are scored on the same examples")
    if not len(first):
        raise LastbitError("no examples: give one score per example of the test set")
    for scores, name in ((first, "A"), (second, "B")):
        other = scores[(scores != 0) & (scores != 1)]
        if len(other):
            raise LastbitError(f"the scores of {name} hold {other[0]:g}: give 1 where it is right, 0 elsewhere")
    only_a, only_b = int(((first == 1) & (second == 0)).sum()), int(((first == 0) & (second == 1)).sum())
    both, n, apart = int(((first == 1) & (second == 1)).sum()), len(first), only_a + only_b
    p_value = float(stats.binomtest(only_b, apart).pvalue) if apart else 1.0
    return PairedExamples(
        difference=_difference(only_a, only_b, n, level),
        p_value=p_value,
        only_a=only_a,
        only_b=only_b,
        both=both,
        neither=n - both - apart,
        procedure="McNemar's exact test; interval by two Clopper-Pearson intervals, exact for this test set",
    )


def _difference(only_a: int, only_b: int, n: int, level: float) -> Estimate:
    apart, miss = only_a + only_b, 1 - level
    psi = proportion_estimate(apart, n, level=1 - _FOR_PSI * miss)
    pi = proportion_estimate(only_b, apart, level=1 - (1 - _FOR_PSI) * miss)
    shares = np.array([psi.low, psi.high], dtype=np.float64)
    # Without an example that tells them apart, it may be either that is right where one is.
    sides = 2 * np.array([pi.low, pi.high] if pi.measured else [0.0, 1.0], dtype=np.float64) - 1
    ends = shares[:, None] * sides
    return Estimate((only_b - only_a) / n, float(ends.min()), float(ends.max()), n)
