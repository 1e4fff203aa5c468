"""The unit of rounding: its three parts, and what it must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.stats.rounding_unit import rounding_unit, running_median

EPSILON = 2.0**-23


def _table(steps: int = 60, tensors: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    size = draw.lognormal(size=(steps, tensors))
    return 1e-7 * size * draw.lognormal(0, 0.2, size=(4, steps, tensors)), size


def test_the_unit_is_the_largest_of_jitter_double_precision_and_the_least() -> None:
    jitter, size = np.full((4, 5, 3), 2e-7), np.ones((5, 3))
    size[:, 1] = 100.0
    double = np.zeros((5, 3))
    double[:, 2] = 3e-6
    unit = rounding_unit(jitter, size, double, epsilon=np.full(3, EPSILON))
    assert unit.sigma[0].tolist() == [2e-7, 100 * 2.0**-25, 3e-6]
    assert not unit.noise.any()


def test_the_jitter_is_a_root_mean_square_over_its_repetitions() -> None:
    jitter = np.array([3e-7, 4e-7])[:, None, None] * np.ones((2, 4, 1))
    unit = rounding_unit(jitter, np.ones((4, 1)), epsilon=np.array([EPSILON]))
    assert unit.sigma == pytest.approx(np.sqrt((9 + 16) / 2) * 1e-7)


def test_a_step_where_the_jitters_agree_by_chance_is_floored_at_half_the_median_around() -> None:
    jitter, size = np.full((4, 60, 1), 1e-6), np.ones((60, 1))
    jitter[:, 30] = 0.0
    sigma = rounding_unit(jitter, size, epsilon=np.array([EPSILON])).sigma
    assert sigma[30, 0] == pytest.approx(5e-7)


def test_a_tensor_that_rounding_moves_by_a_twentieth_of_its_norm_is_noise() -> None:
    jitter, size = np.full((4, 9, 2), 0.01), np.ones((9, 2))
    jitter[:, :, 1] = 0.06
    assert rounding_unit(jitter, size, epsilon=np.full(2, EPSILON)).noise.tolist() == [False, True]


def test_what_was_not_compared_has_no_unit_and_no_difference_has_none_either() -> None:
    jitter, size = np.full((1, 3, 2), 1e-7), np.ones((3, 2))
    size[1, 0] = np.nan
    unit = rounding_unit(jitter, size, epsilon=np.full(2, EPSILON))
    assert np.isnan(unit.sigma[1, 0])
    assert np.isfinite(unit.sigma[1, 1])
    zero = rounding_unit(np.zeros((1, 3, 1)), np.zeros((3, 1)), epsilon=np.array([EPSILON]))
    assert zero.units(np.zeros((3, 1))).tolist() == [[0.0]] * 3
    assert np.isposinf(zero.units(np.ones((3, 1)))).all()


def test_without_jitter_the_unit_is_a_quarter_of_the_formats_epsilon() -> None:
    unit = rounding_unit(np.empty((0, 3, 1)), np.ones((3, 1)), epsilon=np.array([2.0**-7]))
    assert unit.sigma.tolist() == [[2.0**-9]] * 3
    assert not unit.noise.any()


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(LastbitError, match="one shape"):
        rounding_unit(np.ones((1, 3, 2)), np.ones((3, 1)), epsilon=np.ones(1))
    with pytest.raises(LastbitError, match="one epsilon a tensor"):
        rounding_unit(np.ones((1, 3, 1)), np.ones((3, 1)), epsilon=np.ones(2))


@settings(max_examples=30, deadline=None)
@given(power=st.integers(-40, 40), seed=st.integers(0, 99))
def test_another_scale_of_the_loss_scales_the_unit_and_nothing_else(power: int, seed: int) -> None:
    jitter, size = _table(seed=seed)
    scale, epsilon = 2.0**power, np.full(3, EPSILON)
    here = rounding_unit(jitter, size, epsilon=epsilon)
    there = rounding_unit(jitter * scale, size * scale, epsilon=epsilon)
    np.testing.assert_array_equal(there.sigma, here.sigma * scale)
    np.testing.assert_array_equal(there.noise, here.noise)


def test_the_running_median_is_that_of_a_plain_loop() -> None:
    values = np.random.default_rng(1).normal(size=(70, 2))
    values[5:9, 0] = np.nan
    slow = [
        [np.nanmedian(values[max(0, row - 20) : row + 21, column]) for column in range(2)] for row in range(len(values))
    ]
    np.testing.assert_array_equal(running_median(values), slow)
