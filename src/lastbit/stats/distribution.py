"""Spread of accuracy on the distribution, separated from the sampling of one test set.

Runs differ on a test set for two reasons: some are better networks, and each is lucky on other examples. Only the first
would show on another test set. Jordan (arXiv 2304.01910) separates them: the accuracies of the runs on two random
halves of the test set share the first cause only, so their covariance over runs is the variance on the distribution.
Averaged over all half splits it has the closed form

    V_distribution = sum_{i != j} Cov_ij / (N (N - 1)) = (N V_observed - mean_i V_i) / (N - 1)

with Cov_ij the covariance over runs of the scores of examples i and j, V_i = Cov_ii, and V_observed the variance over
runs of the accuracy; the rest V_test_set = (mean_i V_i - V_observed) / (N - 1) is the sampling of the test set.
Covariances within seeds give the last bit's part, the ANOVA total that of a fresh run with a fresh seed (see
`variance_components`). All of them are quadratic in the scores, so three (R, R) matrices of products between runs hold
everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from lastbit.core.errors import LastbitError
from lastbit.stats._inputs import Floats, Ints, check_level, finite_array, group_index, unit_of
from lastbit.stats.estimate import Estimate, few_samples_note, not_measured
from lastbit.stats.mean_squares import root, satterthwaite_df, sum_interval
from lastbit.stats.one_way import quadratic_mean_squares
from lastbit.stats.resampling import jackknife_reach

__all__ = ["DistributionSpread", "SpreadSplit", "distribution_spread"]


@dataclass(frozen=True)
class SpreadSplit:
    """One spread of the accuracy and its two parts, as SDs in the unit of the scores (shares for 0/1 scores).

    observed^2 = distribution^2 + test_set^2, unless a variance estimate is negative and shown as 0.
    """

    observed: Estimate
    distribution: Estimate
    test_set: Estimate

    @property
    def distribution_share(self) -> Estimate:
        """The distribution's part of the two variances, distribution^2 / (distribution^2 + test_set^2).

        The share rises with the first and falls with the second, so its interval joins the far ends of theirs, which
        holds it whenever both hold: at least twice their level minus 1. An end that either lacks is not measured.
        """
        part, rest = self.distribution, self.test_set
        if part.estimate is None or rest.estimate is None:
            return part if part.estimate is None else rest
        whole = part.estimate**2 + rest.estimate**2
        if whole == 0:
            return not_measured("no spread seen", part.n)
        low = None if part.low is None or rest.high is None else _part(part.low, rest.high)
        high = None if part.high is None or rest.low is None else _part(part.high, rest.low)
        return Estimate(part.estimate**2 / whole, low, high, part.n, part.note)

    def scaled(self, factor: float) -> SpreadSplit:
        """Return the same spread in another unit."""
        return SpreadSplit(*(part.scaled(factor) for part in (self.observed, self.distribution, self.test_set)))

    def truncated(self, most: float) -> SpreadSplit:
        """Return the same spread with intervals that end at `most`, the largest SD there can be."""
        return SpreadSplit(*(part.truncated(0.0, most) for part in (self.observed, self.distribution, self.test_set)))


def _part(first: float, second: float) -> float:
    """Return the first of two SDs' share of their variance; where neither varies, that of the first alone, 0."""
    return first**2 / (first**2 + second**2) if first else 0.0


@dataclass(frozen=True)
class DistributionSpread:
    """The spread of accuracy over runs, split for the last bit and for fresh runs.

    Attributes:
        last_bit: over perturbations within a seed.
        total: over fresh runs with fresh seeds.
        test_set_se: the plain standard error of one run's accuracy from the size of the test set alone,
            sqrt(a (1 - a) / N) for 0/1 scores, root mean square over runs: what two unrelated test sets would add.
        n_examples: size of the test set, N.
    """

    last_bit: SpreadSplit
    total: SpreadSplit
    test_set_se: float
    n_examples: int


@dataclass(frozen=True)
class _Parts:
    """The products between runs of which each part is a quadratic form, each run's seed, and what did not vary."""

    observed: Floats
    test_set: Floats
    seed: Ints
    equal_scores: frozenset[str]
    equal_accuracy: frozenset[str]


def distribution_spread(correct: ArrayLike, seeds: ArrayLike, *, level: float = 0.95) -> DistributionSpread:
    """Split the spread of accuracy over runs into its part on the distribution and the test set's sampling.

    The observed part has the intervals of `variance_components`. The test-set part is an average over examples, known
    far better: Student's interval over its delete-one-seed jackknife (delete-one-run with one seed). The distribution's
    part is their difference, and its interval joins the two by the modified large-sample method (Burdick and Graybill
    1992, section 3.3): simulated at 4 to 10 seeds it covers 0.94 to 0.97 at a nominal 0.95, which the bootstrap over so
    few runs does not approach. A negative variance estimate is shown as 0, and the note says so.

    Args:
        correct: (R, N) scores of run r on example i: booleans, or numbers such as a loss or a probability.
        seeds: (R,) the seed of each run.
        level: confidence level.

    Raises:
        LastbitError: scores that are not (R, N) finite numbers, fewer than two examples, seeds that do not fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> split = distribution_spread(rng.random((8, 1000)) < 0.9, seeds=[0, 0, 0, 0, 1, 1, 1, 1])
        >>> split.last_bit.distribution.estimate < split.last_bit.test_set.estimate
        True
    """
    check_level(level)
    scores = finite_array(correct, "the per-example scores", 2)
    runs, examples = scores.shape
    if runs < 1 or examples < 2:
        raise LastbitError(f"a half split needs at least one run and two examples, got shape {scores.shape}")
    group = group_index(seeds, runs)
    unit = unit_of(scores)
    scores = scores / unit
    se = float(np.sqrt(np.mean(scores.var(axis=1) / examples)))
    # Every quadratic form below ignores what all runs share; subtracting it saves digits.
    scores = scores - scores[0]
    accuracy = scores.mean(axis=1)
    observed = np.outer(accuracy, accuracy)
    test_set = (scores @ scores.T / examples - observed) / (examples - 1)
    parts = _Parts(observed, test_set, group, _equal(scores, group), _equal(accuracy, group))
    last_bit, total = (_split(parts, which, level).scaled(unit) for which in ("last_bit", "total"))
    return DistributionSpread(last_bit, total, se * unit, examples)


def _equal(values: Floats, group: Ints) -> frozenset[str]:
    """Which spreads of `values` are exactly 0: differences of products would leave rounding in their place."""
    first = np.unique(group, return_index=True)[1]
    spreads = {"last_bit": values[first][group], "total": values[0]}
    return frozenset(name for name, reference in spreads.items() if np.array_equal(values, values * 0 + reference))


def _component(kernel: Floats, group: Ints, which: str) -> float:
    """The within-seed or the total variance of a quadratic quantity."""
    msw, msb, n0 = quadratic_mean_squares(kernel, group)
    if which == "last_bit":
        return msw
    return msb if n0 <= 1 else (msb + (n0 - 1) * msw) / n0


def _split(parts: _Parts, which: str, level: float) -> SpreadSplit:
    runs, seeds = len(parts.seed), int(parts.seed.max()) + 1
    if which == "last_bit" and runs == seeds:
        missing = not_measured("last-bit spread needs two perturbations of one seed, got 1", runs)
        return SpreadSplit(missing, missing, missing)
    if which == "total" and seeds < 2:
        missing = not_measured("the spread of a fresh run needs two seeds, got 1", runs)
        return SpreadSplit(missing, missing, missing)
    unseen = Estimate(0.0, 0.0, None, runs, "no spread seen: the upper end of the interval is not measured")
    if which in parts.equal_scores:
        return SpreadSplit(unseen, unseen, unseen)
    sampling, reach = _component(parts.test_set, parts.seed, which), _sampling_reach(parts, which, level)
    test_set = Estimate(root(sampling), None, None, runs, "an interval needs more seeds")
    if reach is not None:
        test_set = _estimate(sampling, sampling - reach, sampling + reach, runs, "")
    if which in parts.equal_accuracy:
        return SpreadSplit(unseen, unseen, test_set)
    variance = _component(parts.observed, parts.seed, which)
    (low, high), df = _observed_interval(parts, which, level)
    few, known = few_samples_note(df), reach or 0.0
    # A variance that chance made smaller than the sampling alone makes it on average is no proof of none: the upper
    # end is then that of the average.
    at_least = max(variance, sampling)
    distribution = _estimate(
        variance - sampling,
        variance - sampling - sqrt((variance - low) ** 2 + known**2),
        at_least - sampling + sqrt((at_least * (high / variance - 1)) ** 2 + known**2),
        runs,
        few,
    )
    return SpreadSplit(Estimate(root(variance), root(low), root(high), runs, few, df), distribution, test_set)


def _estimate(variance: float, low: float, high: float, n: int, note: str) -> Estimate:
    negative = "the variance estimate is negative, shown as 0" if variance < 0 else ""
    if root(low) < root(high):
        return Estimate(root(variance), root(low), root(high), n, "; ".join(part for part in (note, negative) if part))
    unknown = "the interval is not measured"
    return Estimate(root(variance), None, None, n, "; ".join(part for part in (note, negative, unknown) if part))


def _observed_interval(parts: _Parts, which: str, level: float) -> tuple[tuple[float, float], float]:
    """The interval of the observed variance, and its degrees of freedom."""
    msw, msb, n0 = quadratic_mean_squares(parts.observed, parts.seed)
    runs, seeds = len(parts.seed), int(parts.seed.max()) + 1
    if which == "last_bit":
        df = (float(runs - seeds), 1.0)
        return sum_interval((msw, 0.0), df, (1.0, 0.0), level), df[0]
    if runs == seeds:
        return sum_interval((msb, 0.0), (float(seeds - 1), 1.0), (1.0, 0.0), level), float(seeds - 1)
    squares, weights, df = (msb, msw), (1 / n0, 1 - 1 / n0), (float(seeds - 1), float(runs - seeds))
    return sum_interval(squares, df, weights, level), satterthwaite_df(squares, df, weights)


def _sampling_reach(parts: _Parts, which: str, level: float) -> float | None:
    """Half the length of the jackknife interval of the test-set variance; None where nothing can be left out."""
    seeds = int(parts.seed.max()) + 1
    unit = parts.seed if seeds > 1 else np.arange(len(parts.seed))
    left_out = []
    for name in np.unique(unit):
        kept = unit != name
        group = np.unique(parts.seed[kept], return_inverse=True)[1]
        left_out.append(_component(parts.test_set[np.ix_(kept, kept)], group, which))
    values = np.asarray(left_out)
    if np.isnan(values).any():
        return None
    return jackknife_reach(values, level=level)
