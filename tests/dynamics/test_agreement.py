"""No twin is hidden behind the mean of all."""

import numpy as np
import pytest
import torch
from scipy.stats import binom

from lastbit.dynamics.agreement import judge_twins
from lastbit.dynamics.rounding import rounding_bound

T = np.arange(900)
STAYS = 1e-7 * np.minimum(T, 1)
LEAVES = np.minimum(1e-8 * np.exp(0.1 * T), 0.5) * (1 + 0.01 * np.sin(T))


@pytest.mark.parametrize("left", range(6))
def test_stable_means_that_every_twin_stayed(left):
    found = judge_twins(T, [*[STAYS] * (5 - left), *[LEAVES] * left], 1.0)
    assert found.verdict == {0: "stable", 5: "restrained"}.get(left, "mixed")
    assert found.twin_verdicts == ("stable",) * (5 - left) + ("restrained",) * left
    if 0 < left < 5:
        assert found.reason.startswith(f"{left} of 5 twins left the bound")
    # Clopper and Pearson's ends by their definition, from the binomial tails.
    assert found.leaving.estimate == left / 5
    if left:
        assert binom.sf(left - 1, 5, found.leaving.low) == pytest.approx(0.025)
    if left < 5:
        assert binom.cdf(left, 5, found.leaving.high) == pytest.approx(0.025)


def test_a_twin_that_passed_the_bound_counts_though_it_cannot_be_decided_alone():
    # 700 times the bound at the end, still on its way, too small to move the mean of five.
    bound = rounding_bound(T, 1.0, torch.float32)
    rising = np.geomspace(1e-8, 700 * bound[-1], 900)
    found = judge_twins(T, [STAYS, STAYS, rising, STAYS, STAYS], 1.0)
    assert found.verdict == "mixed"
    assert found.twin_verdicts[2] == "undecided"
    assert found.leaving.estimate == 0.2


def test_a_twin_still_within_the_bound_but_growing_keeps_the_others_from_being_called_stable():
    rising = np.geomspace(1e-9, 1e-6, 900)
    found = judge_twins(T, [STAYS, STAYS, rising], 1.0)
    assert found.twin_verdicts == ("stable", "stable", "undecided")
    assert found.verdict == "undecided"
    assert "still growing" in found.reason
    assert found.leaving.estimate == 0


def test_twins_that_left_to_different_ends_are_mixed_and_counted():
    diverges = np.geomspace(1e-8, 1e30, 900)
    found = judge_twins(T, [LEAVES, diverges, LEAVES, LEAVES, LEAVES], 1.0)
    assert found.verdict == "mixed"
    assert "5 of 5 twins left" in found.reason
    assert "4 restrained, 1 diverged" in found.reason


def test_one_twin_that_is_not_finite_ends_the_record_of_all():
    found = judge_twins(T, [STAYS, np.where(T < 800, STAYS, np.inf)], 1.0)
    assert found.verdict == "diverged"
    assert found.twin_verdicts == ("stable", "diverged")


def test_a_difference_that_decays_is_said_to():
    falling = np.geomspace(1e-1, 1e-10, 900)
    for curve in (falling, np.append(0.0, falling[1:])):
        found = judge_twins(T, [curve, curve], 1.0)
        assert found.verdict == "decays"
        assert "still falling" in found.reason
    # What has risen first, and fallen back to the size of rounding and stayed there, has decayed too.
    back = np.where(T < 300, LEAVES, np.maximum(0.5 * np.exp(-0.1 * (T - 300)), 1e-7))
    assert judge_twins(T, [back], 1.0).verdict == "decays"
    # A level below an early overshoot is none.
    level = np.where(T < 300, LEAVES, np.maximum(0.5 * np.exp(-0.1 * (T - 300)), 1e-4) * (1 + 0.01 * np.sin(T)))
    assert judge_twins(T, [level], 1.0).verdict == "restrained"
