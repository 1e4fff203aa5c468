"""A blow-up is told from an edge, a catapult and noise by the losses alone."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.dynamics.blow_up import FACTOR, blow_up, is_held


def quadratic(relative, steps, momentum=0.0):
    """The losses of (heavy-ball) descent on half a square, at a multiple of its limit."""
    w, velocity, losses = 1.0, 0.0, []
    lr = relative * 2 * (1 + momentum)
    for _ in range(steps):
        losses.append(0.5 * w * w)
        velocity = momentum * velocity + w
        w -= lr * velocity
    return np.array(losses)


def catapult(steps):
    """The losses of half of `(a b)^2` at a curvature between two and four times `1/lr`: up by decades, then down."""
    a, b, lr, losses = 1e-4, 1.75, 1.0, []
    for _ in range(steps):
        losses.append(0.5 * (a * b) ** 2)
        a, b = a - lr * a * b * b, b - lr * b * a * a
    return np.array(losses)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("relative", [1.03, 1.06, 1.09])
def test_a_quadratic_past_its_limit_is_diverging(relative, momentum):
    losses = quadratic(relative, 400, momentum)
    status, why = blow_up(losses)
    assert status == RunStatus.DIVERGING
    assert f"{math.log10(losses[-1] / losses[0]):.1f} decades" in why
    assert not is_held(losses, np.arange(400))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("relative", [0.5, 0.99])
def test_a_quadratic_below_its_limit_is_not(relative, momentum):
    losses = quadratic(relative, 400, momentum)
    assert blow_up(losses) == (RunStatus.OK, "")
    assert is_held(losses, np.arange(400))


def test_a_quadratic_just_past_its_limit_is_not_held_though_it_has_not_grown_far():
    losses = quadratic(1.002, 200)
    assert losses[-1] < FACTOR * losses[0]
    assert blow_up(losses)[0] == RunStatus.OK
    assert not is_held(losses, np.arange(200))


def test_a_catapult_is_no_blow_up_unless_it_ends_on_its_way_up():
    losses = catapult(400)
    assert losses.max() > 1e3 * losses[0]
    assert losses[-1] < losses[0]
    assert blow_up(losses)[0] == RunStatus.OK
    up = losses[: int(losses.argmax())]
    assert blow_up(up)[0] == RunStatus.DIVERGING


def test_a_blow_up_in_the_last_steps_is_seen():
    losses = np.concatenate([np.geomspace(1, 0.01, 900), 0.01 * 1.3 ** np.arange(60)])
    assert blow_up(losses)[0] == RunStatus.DIVERGING


def test_a_jump_to_a_level_a_slow_rise_and_one_odd_batch_are_none():
    rng = np.random.default_rng(0)
    noise = np.exp(0.3 * rng.standard_normal(600))
    assert blow_up(np.where(np.arange(600) < 100, 1, 100) * noise)[0] == RunStatus.OK
    assert blow_up(np.geomspace(1, 5, 600) * noise)[0] == RunStatus.OK
    assert blow_up(np.append(noise, 1e6))[0] == RunStatus.OK


def test_growth_through_the_noise_of_mini_batches_is_seen():
    rng = np.random.default_rng(0)
    assert blow_up(np.geomspace(1, 1e4, 300) * np.exp(rng.standard_normal(300)))[0] == RunStatus.DIVERGING


def test_level_losses_are_called_diverging_in_less_than_one_per_cent_however_correlated():
    rng = np.random.default_rng(0)
    found = 0
    for rho in (0.0, 0.9, 0.99):
        for _ in range(200):
            e = rng.standard_normal(300)
            for i in range(1, 300):
                e[i] = rho * e[i - 1] + math.sqrt(1 - rho**2) * e[i]
            found += blow_up(np.exp(e - e[0]))[0] == RunStatus.DIVERGING
    assert found <= 6


def test_losses_that_stop_being_finite_are_diverged_and_say_when():
    assert blow_up([1.0, 2.0, math.inf]) == (RunStatus.DIVERGED, "the training loss is not finite from step 3 on")
    assert blow_up([1.0, math.nan, 1.0], [5, 10, 15])[1].endswith("from step 10 on")


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=60), st.floats(1e-3, 1e3))
def test_any_losses_have_a_status_that_their_unit_does_not_change(losses, unit):
    status, why = blow_up(losses)
    assert bool(why) == (status != RunStatus.OK)
    small = np.array(losses) / 1e10
    if np.all((small == 0) | (np.abs(small) > 1e-290)):
        assert blow_up(small)[0] == blow_up(small * 2.0 ** round(math.log2(unit)))[0]


@pytest.mark.parametrize("sign", [-1, 1])
def test_losses_below_zero_are_judged_by_how_far_they_rise(sign):
    losses = sign * 1.0 + 1.1 ** np.arange(200) - 1
    assert blow_up(losses)[0] == RunStatus.DIVERGING
    assert blow_up(-losses)[0] == RunStatus.OK


def test_arrays_that_do_not_match_are_named():
    with pytest.raises(LastbitError, match="one loss per step"):
        blow_up([1.0, 2.0], [1])
