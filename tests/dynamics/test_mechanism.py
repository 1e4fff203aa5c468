"""Linear growth or switches, told from kicks: answers that are known by construction, and maps that are known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from lastbit.core.errors import LastbitError
from lastbit.dynamics.mechanism import LAST_BIT, SIZES, mechanism, response

STEPS, KICKS = np.arange(301), np.array(SIZES)


def linear(rate, most=0.5):
    """Every kick grows by `rate` nats per step, up to a level."""
    return np.minimum(KICKS[:, None] * np.exp(rate * STEPS), most)


def switching(threshold, at, rate=0.0, most=0.5):
    """The same, but from step `at` on a kick of at least the threshold has been thrown to the level."""
    grown = linear(rate, most)
    grown[threshold <= KICKS, at:] = most
    return grown


def test_growth_that_is_the_same_for_all_is_linear():
    found = response(STEPS, KICKS, linear(0.06))
    assert (found.kind, found.switched, found.linear_up_to, found.step) == ("measured", None, KICKS[-1], None)
    assert found.linear_share == pytest.approx(1.0)
    assert found.grown == pytest.approx(math.log(0.1 / 1e-7))


def test_the_smallest_kick_is_told_as_long_as_it_is_small():
    """Rounding of 300 steps hides what is below 1e-12; that one is at 1e-2 after `ln(1e10) / 0.1` = 230.26 steps."""
    assert response(STEPS, KICKS, linear(0.1)).small == 230
    assert response(STEPS, KICKS, linear(0.01)).small == 300


@pytest.mark.parametrize("threshold", [1e-9, 1e-7])
def test_a_switch_is_found_with_its_threshold_and_step(threshold):
    found = response(STEPS, KICKS, switching(threshold, at=40))
    assert found.switched == pytest.approx(threshold)
    assert found.linear_up_to == pytest.approx(threshold / 10)
    assert found.step == 40
    assert found.linear_share == 0.0


def test_a_switch_that_a_last_bit_does_not_meet_explains_none_of_its_growth():
    found = response(STEPS, KICKS, switching(1e-5, at=40, rate=0.02))
    assert found.switched == pytest.approx(1e-5)
    assert found.linear_share == pytest.approx(1.0)


def test_both_share_the_growth_as_they_carried_it():
    """Linear by 0.05 nats for 100 steps, then thrown to order one."""
    found = response(STEPS, KICKS, switching(1e-8, at=100, rate=0.05))
    assert found.linear_share == pytest.approx(5.0 / math.log(0.1 / 1e-7))


def test_saturation_of_large_kicks_is_no_switch():
    found = response(STEPS, KICKS, linear(0.1, most=0.02))
    assert found.switched is None


def test_rounding_that_hides_the_smallest_kicks_does_not_pass_for_their_answer():
    generator = np.random.default_rng(0)
    rounding = 2.0**-53 * np.sqrt(STEPS) * np.exp(0.05 * STEPS) * generator.uniform(0.5, 2, (len(KICKS), len(STEPS)))
    found = response(STEPS, KICKS, np.minimum(linear(0.05) + rounding, 0.5))
    assert (found.kind, found.switched) == ("measured", None)
    assert found.linear_share > 0.95


def test_answers_that_differ_from_the_start_are_told_as_that():
    odd = linear(0.0)
    odd[1::2] *= 5
    assert response(STEPS, KICKS, odd).kind == "not_linear"
    assert mechanism([response(STEPS, KICKS, odd)] * 3).kind == "undecided"


@pytest.mark.parametrize(
    ("curves", "kind"),
    [
        ([linear(rate) for rate in (0.06, 0.07, 0.08)], "linear"),
        ([switching(1e-8, at=at) for at in (20, 40, 60)], "switching"),
        ([switching(1e-8, at=100, rate=rate) for rate in (0.07, 0.075, 0.08)], "both"),
        ([linear(0.06), switching(1e-8, at=40), linear(0.07)], "undecided"),
        ([linear(0.0)] * 3, "undecided"),
        ([linear(0.06)], "undecided"),
    ],
)
def test_verdicts_over_seeds(curves, kind):
    found = mechanism([response(STEPS, KICKS, curve) for curve in curves])
    assert found.kind == kind, found
    assert found.seeds == len(curves)


@pytest.mark.parametrize(
    ("rates", "reason"),
    [
        ((0.02, 0.03, 0.04), "switches release most"),
        ((0.1, 0.11, 0.12), "most of the growth is linear"),
        ((0.02, 0.07, 0.12), "less than half or more"),
    ],
)
def test_what_is_open_is_said(rates, reason):
    found = mechanism([response(STEPS, KICKS, switching(1e-8, at=100, rate=rate)) for rate in rates])
    assert found.kind == "undecided"
    assert reason in found.reason


def test_the_threshold_lies_between_the_last_that_did_not_and_the_first_that_did():
    found = mechanism([response(STEPS, KICKS, switching(size, at=40)) for size in (1e-8, 1e-8, 1e-6)])
    assert found.threshold.estimate == pytest.approx(10 ** ((-8.5 - 8.5 - 6.5) / 3))
    assert (found.switched, found.threshold.n) == (3, 3)


def test_the_interval_is_that_of_the_mean_over_seeds():
    """Oracle: Student's t of the shares themselves."""
    found = [response(STEPS, KICKS, switching(1e-8, at=100, rate=rate)) for rate in (0.04, 0.05, 0.06, 0.07)]
    shares = np.array([rate * 100 / math.log(0.1 / 1e-7) for rate in (0.04, 0.05, 0.06, 0.07)])
    told = mechanism(found).linear_share
    ends = scipy_stats.t.interval(0.95, 3, loc=shares.mean(), scale=shares.std(ddof=1) / 2)
    assert (told.low, told.high) == pytest.approx(ends)
    assert (told.estimate, told.n) == (pytest.approx(shares.mean()), 4)


@given(st.floats(0.0, 0.2), st.floats(1e-3, 1e3))
@settings(max_examples=40, deadline=None)
def test_kicks_of_a_linear_map_meet_no_switch_whatever_its_rate(rate, unit):
    """A linear recursion of two modes from a kick along both: `|a^t x + b^t y|` over `|x + y|`, at any scale."""
    modes = np.stack([np.exp(rate * STEPS), 0.5**STEPS]) / math.sqrt(2)
    distance = np.linalg.norm(modes, axis=0)
    found = response(STEPS, KICKS, KICKS[:, None] * distance * unit / unit)
    assert found.switched is None
    assert found.linear_share in (None, pytest.approx(1.0))


def test_a_piecewise_linear_map_switches_where_its_kink_is():
    """`x -> 1.02 x` within the kink and a throw by 0.3 beyond it: the smallest kick that gets there in 300 steps."""
    kink = 1e-4
    paths = []
    for size in KICKS:
        x, path = size, [size]
        for _ in STEPS[1:]:
            x = min(1.02 * x + (0.3 if x > kink else 0.0), 0.5)
            path.append(x)
        paths.append(path)
    found = response(STEPS, KICKS, np.array(paths))
    reach = kink / 1.02**299
    assert found.linear_up_to <= reach * 10
    assert found.switched == KICKS[np.searchsorted(KICKS, reach)]


@pytest.mark.parametrize("wrong", [np.ones((3, 301)), np.ones((12, 300))])
def test_shapes_and_orders_that_do_not_fit_are_refused(wrong):
    with pytest.raises(LastbitError, match=r"distances \(M, S\)"):
        response(STEPS, KICKS, wrong)
    with pytest.raises(LastbitError, match="ascend"):
        response(STEPS, KICKS[::-1], np.ones((12, 301)))
    with pytest.raises(LastbitError, match="no kick"):
        mechanism([])
    assert abs(math.log(LAST_BIT / 1e-7)) < 1
