"""The flags on synthetic tables: silent under rounding, never silent under what was planted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.stats.forced_flags import (
    LIMITS,
    bias_of,
    buffer_flags,
    gradient_flags,
    hidden_bias,
    staircase_ratio,
    step_flags,
    update_flags,
)
from lastbit.stats.rounding_unit import RoundingUnit, rounding_unit

STEPS, SIGMA = 160, 3e-7


def _rounding(seed: int, *, elements: int = 50, tensors: int = 3) -> tuple[np.ndarray, np.ndarray, RoundingUnit]:
    """Return gradients (S, T, N) of norm about 1, what rounding adds to them, and the unit from four jitters."""
    draw = np.random.default_rng(seed)
    shape = (STEPS, tensors, elements)
    gradients = draw.normal(size=shape) / np.sqrt(elements)
    added = draw.normal(size=(5, *shape)) * SIGMA / np.sqrt(elements)
    size = np.linalg.norm(gradients, axis=-1)
    unit = rounding_unit(np.linalg.norm(added[1:], axis=-1), size, epsilon=np.full(tensors, 2.0**-23))
    return gradients, added[0], unit


def _flags(gradients: np.ndarray, added: np.ndarray, unit: RoundingUnit) -> list[tuple[int, str]]:
    difference, projection = np.linalg.norm(added, axis=-1), (added * gradients).sum(-1)
    found = gradient_flags(difference, projection, np.linalg.norm(gradients, axis=-1), unit)
    return [(one.tensor, one.measure) for one in found]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), larger=st.floats(0.0, 20.0))
def test_rounding_of_up_to_twenty_units_raises_no_flag(seed: int, larger: float) -> None:
    gradients, added, unit = _rounding(seed)
    assert _flags(gradients, larger * added, unit) == []


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([1e-5, -1e-5, 1e-4, 1e-3, 1e-1]), tensor=st.integers(0, 2))
def test_a_scaled_gradient_is_flagged_in_its_tensor_alone(seed: int, share: float, tensor: int) -> None:
    gradients, added, unit = _rounding(seed)
    added[:, tensor] += share * gradients[:, tensor]
    assert [one for one, _ in _flags(gradients, added, unit)] == [tensor]


@settings(max_examples=10, deadline=None)
@given(power=st.integers(-30, 30), seed=st.integers(0, 99))
def test_flags_do_not_depend_on_the_scale_of_the_loss(power: int, seed: int) -> None:
    gradients, added, _ = _rounding(seed)
    added[:, 1] += 1e-5 * gradients[:, 1]
    scale = 2.0**power
    jitter = np.full((4, STEPS, 3), SIGMA)
    found = []
    for times in (1.0, scale):
        g, d = gradients * times, added * times
        unit = rounding_unit(jitter * times, np.linalg.norm(g, axis=-1), epsilon=np.full(3, 2.0**-23))
        found.append(_flags(g, d, unit))
    assert found[0] == found[1] != []


def test_a_difference_of_many_units_is_flagged_from_the_step_on_at_which_it_begins() -> None:
    gradients, added, unit = _rounding(3)
    added[40:, 2] *= 100.0
    added[7, 2] *= 1000.0
    (flag,) = gradient_flags(
        np.linalg.norm(added, axis=-1), (added * gradients).sum(-1), np.linalg.norm(gradients, axis=-1), unit
    )
    assert (flag.tensor, flag.measure, flag.first) == (2, "units", 40)


@pytest.mark.parametrize(("steps", "flagged"), [(39, False), (45, True)])
def test_kinks_of_one_tensor_are_tolerated_in_a_quarter_of_the_steps(steps: int, flagged: bool) -> None:
    gradients, added, unit = _rounding(4)
    at = np.random.default_rng(0).permutation(STEPS)[:steps]
    added[at, 0] *= 500.0
    assert bool(_flags(gradients, added, unit)) == flagged


def test_a_tensor_that_is_noise_has_four_times_the_limit_and_no_test_of_bias() -> None:
    gradients, added, unit = _rounding(5)
    noisy = RoundingUnit(unit.sigma, np.ones(3, bool))
    assert _flags(gradients, added + 1e-5 * gradients, noisy) == []
    assert _flags(gradients, 60 * added, noisy) == []
    assert len(_flags(gradients, 60 * added, unit)) == 3
    assert len(_flags(gradients, 200 * added, noisy)) == 3


def test_a_step_is_flagged_by_its_loss_or_by_all_gradients_at_once() -> None:
    units, loss = np.ones((6, 3)), np.ones(6)
    units[1, 0], units[2], loss[4] = 1e6, 65.0, 129.0
    loss[5], units[3, 1:] = np.nan, np.nan
    assert np.flatnonzero(step_flags(units, loss)).tolist() == [2, 4]
    assert np.flatnonzero(step_flags(np.empty((6, 0)), loss)).tolist() == [4]


def test_an_update_is_flagged_by_its_worst_element_or_by_a_bias() -> None:
    draw = np.random.default_rng(6)
    worst, bias = np.full((STEPS, 4), 60.0), 1e-7 * draw.normal(size=(STEPS, 4))
    worst[17, 1], bias[:, 2], bias[:, 3] = 129.0, 1.5e-6, 1.5e-6
    share = np.full((STEPS, 4), 1e-4)
    limits = np.array([1e-6, 1e-6, 1e-6, 2e-6])
    found = update_flags(worst, bias, share, limits)
    assert [(one.tensor, one.measure, one.first) for one in found] == [(1, "worst", 17), (2, "bias", 0)]
    nothing = np.full((3, 1), np.nan)
    assert not update_flags(nothing, nothing, nothing, np.array([1e-6]))


def test_one_element_that_cancelled_once_is_no_other_update() -> None:
    # In float32 g + decay * w, where the two all but cancel, keeps few digits of the sum.
    draw = np.random.default_rng(8)
    weights = draw.normal(size=10_000).astype(np.float32)
    decay = np.float32(1e-3)
    gradient = draw.normal(size=10_000).astype(np.float32)
    gradient[7] = -decay * weights[7] * np.float32(1 + 2e-4)
    exact = gradient.astype(np.float64) + float(decay) * weights.astype(np.float64)
    difference = (gradient + decay * weights) - exact
    worst = np.abs(difference / (np.spacing(np.abs(exact).astype(np.float32)) + 2.0**-23 * np.abs(exact)))
    assert worst.max() > LIMITS.worst > np.sort(worst)[-2]
    share = np.linalg.norm(difference) / np.linalg.norm(exact)
    columns = np.full((STEPS, 1), 1.0), np.zeros((STEPS, 1)), np.full((STEPS, 1), share)
    columns[0][0] = worst.max()
    assert not update_flags(*columns, np.array([1e-6]))
    columns[0][5] = worst.max()
    assert [one.first for one in update_flags(*columns, np.array([1e-6]))] == [0]
    columns[0][5], columns[2][0] = 1.0, 1e-5
    assert [one.first for one in update_flags(*columns, np.array([1e-6]))] == [0]


def test_a_buffer_is_flagged_by_its_median_or_by_one_step_that_is_far_off() -> None:
    unit = RoundingUnit(np.full((9, 3), 1e-7), np.zeros(3, bool))
    difference = np.full((9, 3), 2e-6)
    difference[:, 1], difference[4, 2] = 4e-6, 2e-4
    found = buffer_flags(difference, unit)
    assert [(one.tensor, one.measure, one.first) for one in found] == [(1, "units", 0), (2, "step", 4)]


def test_a_coarser_arithmetic_moves_far_more_and_a_gradient_scale_shows_inside_it() -> None:
    draw = np.random.default_rng(7)
    moved = draw.lognormal(size=(50, 3))
    assert staircase_ratio(moved, moved * 1.4) < LIMITS.staircase < staircase_ratio(moved, moved * 16)
    assert np.isnan(staircase_ratio(np.zeros((2, 1)), np.ones((2, 1))))
    assert np.isnan(staircase_ratio(np.full((2, 1), np.nan), np.ones((2, 1))))
    size, shares = np.ones((50, 2)), 4e-3 * draw.normal(size=(50, 2))
    assert hidden_bias(np.abs(shares), shares, size) == []
    shares[:, 1] += 1e-2
    (flag,) = hidden_bias(np.abs(shares), shares, size)
    assert flag.tensor == 1
    assert flag.value == pytest.approx(1e-2, rel=0.2)


def test_what_is_rounded_once_and_for_all_leans_by_no_more_than_rounding() -> None:
    # A factor of 1/0.9 in bfloat16 is off by 1/900 in every step; a layer's gradient of 1.02 times its size is not.
    draw = np.random.default_rng(10)
    size, shares = np.ones((80, 4)), 1 / 900 + 1e-4 * draw.normal(size=(80, 4))
    assert hidden_bias(np.abs(shares), shares, size) == []
    shares[:, 2] += 0.02
    assert [flag.tensor for flag in hidden_bias(np.abs(shares), shares, size)] == [2]


def test_a_staircase_is_seen_where_a_small_layer_stands_still_in_most_steps_and_a_few_kinks_are_none() -> None:
    draw = np.random.default_rng(9)
    moved = draw.lognormal(size=(50, 3))
    seldom = np.where(draw.random((50, 3)) < 0.4, 40 * moved, 0.0)
    assert (np.median(seldom, axis=0) == 0).all()
    assert staircase_ratio(moved, seldom) > LIMITS.staircase
    seldom[:, 1] = np.nan
    assert staircase_ratio(moved, seldom) > LIMITS.staircase
    kinks = np.where(draw.random((50, 1)) < 0.1, 1e3, moved)
    assert staircase_ratio(moved, kinks) < LIMITS.staircase


def test_the_bias_is_a_median_that_few_steps_do_not_move() -> None:
    draw = np.random.default_rng(8)
    noise = draw.normal(size=4000)
    middle, z = bias_of(noise)
    assert abs(middle) < 0.1
    assert z < 4
    assert bias_of(np.concatenate([noise, np.full(400, 1e9)]))[0] < 0.3
    # The standard error that it is counted in is that of many medians.
    medians = [bias_of(draw.normal(1.0, size=100)) for _ in range(400)]
    assert np.mean([m / z for m, z in medians]) == pytest.approx(np.std([m for m, _ in medians]), rel=0.15)
