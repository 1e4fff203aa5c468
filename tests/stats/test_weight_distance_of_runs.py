"""How far the last bit and the seed move the weights, with intervals that know of shared seeds."""

import itertools

import numpy as np
import pytest

from lastbit.core.errors import LastbitError
from lastbit.stats import mean_relative_l1, weight_distance


def test_estimates_are_the_means_over_pairs_written_out():
    rng = np.random.default_rng(0)
    weights, seeds = rng.normal(size=(12, 30)), np.repeat(range(4), 3)
    result = weight_distance(list(weights), seeds.tolist())
    within = [mean_relative_l1(weights[3 * s], weights[3 * s + p]) for s in range(4) for p in (1, 2)]
    between = [mean_relative_l1(weights[3 * a], weights[3 * b]) for a, b in itertools.combinations(range(4), 2)]
    assert result.last_bit.estimate == pytest.approx(np.mean(within))
    assert result.seed.estimate == pytest.approx(np.mean(between))
    assert (result.last_bit.n, result.seed.n) == (4, 4)
    assert 0 <= result.seed.low <= result.seed.estimate <= result.seed.high <= 2


def test_what_was_not_varied_is_not_measured():
    one_seed = weight_distance([[1.0], [2.0]], [0, 0])
    assert one_seed.seed.estimate is None
    one_perturbation = weight_distance([[1.0], [2.0]], [0, 1])
    assert one_perturbation.last_bit.estimate is None
    assert one_perturbation.seed.low is None


def test_interval_between_seeds_covers():
    # Weights share a sign with a probability of their seed's own, so the mean over pairs of seeds has a known value.
    rng, hits, trials, seeds = np.random.default_rng(1), 0, 400, 8
    for _ in range(trials):
        agree = rng.beta(8, 2, seeds)
        signs = np.where(rng.random((seeds, 400)) < agree[:, None], 1.0, -1.0)
        estimate = weight_distance(list(signs), list(range(seeds))).seed
        mean = 8 / 10
        truth = 2 * (2 * mean * (1 - mean))
        hits += estimate.low <= truth <= estimate.high
    assert 0.90 <= hits / trials <= 0.99


def test_runs_and_seeds_must_fit():
    with pytest.raises(LastbitError, match="one seed per run"):
        weight_distance([[1.0]], [0, 1])
