"""How far apart two sets of weights are, on a scale from 0 (equal) to 2 (opposite signs everywhere)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lastbit.core.errors import LastbitError
from lastbit.stats._inputs import Floats, finite_array

__all__ = ["mean_relative_l1", "pairwise_relative_l1"]


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
    pair = finite_array(np.stack([left.reshape(-1), right.reshape(-1)]), "the weights to compare", 2)
    return float(_relative_l1(pair[0], pair[1]))


def pairwise_relative_l1(weights: ArrayLike) -> Floats:
    """Return the (R, R) mean relative L1 differences between the weights of R runs.

    Args:
        weights: (R, W), each run's weights as one row.

    Raises:
        LastbitError: not a non-empty (R, W) array of finite numbers.
    """
    array = finite_array(weights, "the weights to compare", 2)
    if not array.size:
        raise LastbitError(f"weights to compare are empty, got shape {array.shape}")
    result = np.zeros((len(array), len(array)))
    # One run against the later ones at a time: the full (R, R, W) array would not fit where W is a network.
    for run in range(len(array) - 1):
        result[run, run + 1 :] = _relative_l1(array[run + 1 :], array[run])
    return result + result.T


def _relative_l1(a: Floats, b: Floats) -> Floats:
    size = np.abs(a) + np.abs(b)
    ratio = np.divide(2 * np.abs(a - b), size, out=np.zeros(np.shape(size)), where=size > 0)
    return np.asarray(ratio.mean(axis=-1), dtype=np.float64)
