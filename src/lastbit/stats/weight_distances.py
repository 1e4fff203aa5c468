"""How far apart two sets of weights are, on a scale from 0 (equal) to 2 (opposite signs everywhere)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lastbit.core.errors import LastbitError
from lastbit.core.words import plural
from lastbit.stats._inputs import Floats, finite_array, unit_of
from lastbit.stats.estimate import FEW_SAMPLES, Estimate, not_measured
from lastbit.stats.means import mean_estimate
from lastbit.stats.resampling import jackknife_interval

__all__ = ["WeightDistance", "mean_relative_l1", "weight_distance"]

FARTHEST = 2.0
"""The mean relative L1 difference of weights that have opposite signs everywhere."""

_BLOCK = 1 << 20
"""Weights that are compared at a time: the working memory is some ten times as many numbers."""


@dataclass(frozen=True)
class WeightDistance:
    """Mean relative L1 differences of weights.

    Attributes:
        last_bit: of the perturbed runs of a seed from its first run, mean over runs; n counts seeds.
        seed: between the first runs of two seeds, mean over pairs; n counts seeds.
    """

    last_bit: Estimate
    seed: Estimate


def weight_distance(
    weights: Sequence[Any],
    seeds: Sequence[Hashable],
    *,
    level: float = 0.95,
    distance: Callable[[Any, Any], float] | None = None,
) -> WeightDistance:
    """Return how far the last bit and the seed move the weights.

    The interval within seeds is Student's over the delete-one-seed jackknife, as in `mean_estimate`. Pairs of seeds
    share a seed, so between seeds the jackknife leaves out a seed with all its pairs (Arvesen 1969, Ann. Math. Statist.
    40, 2076-2100). Both ends are kept within 0 and 2.

    Args:
        weights: one array per run, all of one shape; the first run of each seed is its reference.
        seeds: the seed of each run.
        level: confidence level.
        distance: of two entries of `weights`, between 0 and 2; `mean_relative_l1` by default.

    Raises:
        LastbitError: there is no run, shapes differ, a weight or distance is not finite, or a bad level.

    Example:
        >>> weight_distance([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]], seeds=[0, 0, 1]).last_bit.estimate
        1.0
    """
    if not len(weights) or len(weights) != len(seeds):
        got = f"{plural(len(weights), 'run')} and {plural(len(seeds), 'seed')}"
        raise LastbitError(f"give one seed per run, at least one run, got {got}")
    apart = mean_relative_l1 if distance is None else distance
    reference: dict[Hashable, int] = {}
    within: list[float] = []
    owners: list[int] = []
    for index, seed in enumerate(seeds):
        first = reference.setdefault(seed, index)
        if first != index:
            within.append(apart(weights[first], weights[index]))
            owners.append(first)
    last_bit = (
        _bounded(mean_estimate(within, seeds=owners, level=level))
        if within
        else not_measured(
            "weight distance over the last bit needs two perturbations of one seed, got 1", len(reference)
        )
    )
    firsts = list(reference.values())
    distances = np.zeros((len(firsts), len(firsts)))
    for row, one in enumerate(firsts):
        for column, other in enumerate(firsts[:row]):
            distances[row, column] = distances[column, row] = apart(weights[one], weights[other])
    return WeightDistance(last_bit, _bounded(_mean_of_pairs(distances, level)))


def _mean_of_pairs(distances: Floats, level: float) -> Estimate:
    seeds = len(distances)
    if seeds < 2:
        return not_measured("weight distance over seeds needs two seeds, got 1", seeds)
    total, rows = distances.sum(), distances.sum(axis=1)
    mean = float(total / (seeds * (seeds - 1)))
    if seeds < 3:
        return Estimate(mean, None, None, seeds, "an interval needs three seeds, got 2")
    if not np.ptp(rows) > 0:
        return Estimate(mean, None, None, seeds, f"no spread seen over {seeds} seeds: the interval is not measured")
    low, high = jackknife_interval(mean, (total - 2 * rows) / ((seeds - 1) * (seeds - 2)), level=level)
    return Estimate(mean, min(low, mean), max(high, mean), seeds, f"few seeds: {seeds}" if seeds < FEW_SAMPLES else "")


def _bounded(estimate: Estimate) -> Estimate:
    if estimate.estimate is None or estimate.low is None or estimate.high is None:
        return estimate
    low, high = max(estimate.low, 0.0), min(estimate.high, FARTHEST)
    return Estimate(estimate.estimate, low, max(high, estimate.estimate), estimate.n, estimate.note)


def mean_relative_l1(a: ArrayLike, b: ArrayLike) -> float:
    """Return mean(2 |a - b| / (|a| + |b|)) over all weights, with 0/0 = 0.

    The measure of the growth of a last-bit perturbation in Sun et al. (2024), JMLR 25(174): one ulp is about 1e-7 in
    float32, unrelated weights are of order one. Computed in float64.

    Args:
        a: weights, any shape.
        b: weights of the same shape.

    Raises:
        LastbitError: the shapes differ, there is no weight, or a weight is not finite.

    Example:
        >>> mean_relative_l1([1.0, 0.0, 2.0], [1.0, 0.0, -2.0])
        0.6666666666666666
    """
    left, right = np.asarray(a), np.asarray(b)
    if left.shape != right.shape:
        raise LastbitError(f"weights to compare must have one shape, got {left.shape} and {right.shape}")
    if not left.size:
        raise LastbitError("weights to compare are empty")
    left, right = left.reshape(-1), right.reshape(-1)
    blocks = [slice(start, start + _BLOCK) for start in range(0, left.size, _BLOCK)]
    means = [_mean_ratio(left[block], right[block]) for block in blocks]
    return means[0] if len(means) == 1 else float(np.average(means, weights=[left[block].size for block in blocks]))


def _mean_ratio(left: Floats, right: Floats) -> float:
    pair = finite_array(np.stack([left, right]), "the weights to compare", 2)
    # Sums of two of the largest numbers overflow; a quarter of them is exact.
    one, other = pair / 4 if unit_of(pair) >= 2.0**1000 else pair
    size = np.abs(one) + np.abs(other)
    ratio = np.divide(2 * np.abs(one - other), size, out=np.zeros(size.shape), where=size > 0)
    return float(ratio.mean())
