"""The step at which the last bit is of order one: closed forms of growth that is known, censoring, scale, order."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.dynamics.horizon import FORMATS, ORDER_ONE, horizons
from lastbit.dynamics.rounding import unit_roundoff

STEPS = np.arange(401)


def grown(rate, dtype, twins=1, most=math.inf, steps=STEPS):
    """One unit roundoff that grows by `rate` nats per step up to a level."""
    return np.tile(np.minimum(unit_roundoff(dtype) * np.exp(rate * steps), most), (twins, 1))


def by_name(found):
    return {one.dtype: one for one in found}


@pytest.mark.parametrize("dtype", FORMATS.values(), ids=list(FORMATS))
def test_even_growth_has_its_closed_form_in_every_format(dtype):
    """`u exp(g t) = 0.1` at `t = ln(0.1 / u) / g`, whatever the format in which it was measured."""
    rate = 0.1
    found = by_name(horizons(STEPS, grown(rate, dtype), dtype, log_removed=np.full((1, 401), 1e-300)))
    for name, other in FORMATS.items():
        expected = math.log(ORDER_ONE / unit_roundoff(other)) / rate
        assert found[name].step.estimate == pytest.approx(expected, abs=1e-9)
        assert (found[name].kind, found[name].reached, found[name].within) == ("reached", 1, 400)


def test_what_is_of_order_one_says_nothing_of_a_finer_format():
    found = by_name(horizons(STEPS, grown(0.1, torch.float32, most=0.9), torch.float32))
    assert found["float64"].kind == "not_measured"
    assert "of order one themselves" in found["float64"].step.note
    assert found["float32"].kind == found["bfloat16"].kind == "reached"


def test_growth_that_ends_below_order_one_ends_the_horizon_too():
    found = by_name(horizons(STEPS, grown(0.1, torch.float32, most=1e-4), torch.float32))
    assert [found[name].kind for name in FORMATS] == ["reached", "not_within", "not_within"]
    assert found["float32"].step.estimate is None
    assert found["float32"].step.note == "not measured: not within 400 steps"


def test_twins_of_which_some_come_there_are_counted_and_not_averaged():
    slow, fast = grown(0.01, torch.float32)[0], grown(0.1, torch.float32)[0]
    found = by_name(horizons(STEPS, np.stack([slow, fast, fast]), torch.float32))
    assert (found["float32"].kind, found["float32"].reached) == ("partly", 2)
    assert found["float32"].step.estimate is None
    assert found["float32"].step.note == "not measured: 2 of 3 twins within 400 steps"


def test_the_interval_is_students_over_the_logarithms_of_the_steps():
    rates = np.array([0.08, 0.1, 0.12, 0.11])
    found = by_name(horizons(STEPS, np.stack([grown(r, torch.float32)[0] for r in rates]), torch.float32))
    logs = np.log(math.log(ORDER_ONE / unit_roundoff(torch.float32)) / rates)
    half = 3.182446305 * logs.std(ddof=1) / 2
    seen = found["float32"].step
    assert (seen.estimate, seen.low, seen.high) == pytest.approx(
        tuple(np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])), rel=1e-6
    )
    assert seen.n == 4


def test_a_branch_counts_from_where_it_is():
    late = by_name(horizons(STEPS + 1000, grown(0.1, torch.float32), torch.float32))
    early = by_name(horizons(STEPS, grown(0.1, torch.float32), torch.float32))
    assert late["float32"].step.estimate == pytest.approx(early["float32"].step.estimate + 1000)


def test_what_is_known_of_the_distances_widens_the_interval():
    relative = np.stack([grown(rate, torch.float32)[0] for rate in (0.1, 0.11, 0.12)])
    exact = by_name(horizons(STEPS, relative, torch.float32))["float32"].step
    rough = by_name(horizons(STEPS, relative, torch.float32, factors=(0.8, 1.3)))["float32"].step
    assert rough.estimate == exact.estimate
    assert rough.low < exact.low
    assert rough.high > exact.high


def test_a_twin_that_stops_being_finite_was_of_order_one_before():
    relative = grown(0.1, torch.float32)
    relative[:, 50:] = np.nan
    found = by_name(horizons(STEPS, relative, torch.float32))
    assert found["float32"].step.estimate == pytest.approx(50)
    assert found["float64"].kind == "not_measured"


def test_a_twin_that_never_differs_is_at_no_horizon():
    assert {one.kind for one in horizons(STEPS, np.zeros((2, 401)), torch.float32)} == {"not_within"}


@given(
    st.lists(st.floats(-0.05, 0.4), min_size=30, max_size=30),
    st.floats(-3, 3),
    st.sampled_from(["bfloat16", "float32", "float64"]),
)
@settings(max_examples=60, deadline=None)
def test_a_coarser_format_is_never_later_and_scale_is_all_that_counts(gains, first, name):
    dtype, steps = FORMATS[name], np.arange(31)
    logs = first + np.concatenate([[0.0], np.cumsum(gains)])
    relative = (unit_roundoff(dtype) * np.exp(logs))[None]
    assume(relative.max() < ORDER_ONE)
    found = by_name(horizons(steps, relative, dtype))
    order = [math.inf if one.step.estimate is None else one.step.estimate for one in found.values()]
    assert order == sorted(order)
    for format_ in FORMATS.values():
        scaled = relative * (unit_roundoff(format_) / unit_roundoff(dtype))
        for coarser in [name for name in FORMATS if unit_roundoff(FORMATS[name]) >= unit_roundoff(format_)]:
            own, seen = by_name(horizons(steps, scaled, format_))[coarser].step.estimate, found[coarser].step.estimate
            assert own == pytest.approx(seen) if seen is not None else own is None


@pytest.mark.parametrize(("steps", "shape"), [(np.arange(3), (2, 4)), (np.arange(3), (0, 3)), (np.arange(0), (1, 0))])
def test_shapes_that_do_not_match_are_refused(steps, shape):
    with pytest.raises(LastbitError, match=r"distances \(K, S\)"):
        horizons(steps, np.ones(shape), torch.float32)
