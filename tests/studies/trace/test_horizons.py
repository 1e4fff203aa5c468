"""A horizon is where longer trainings get: told from twins that stay small, met by twins that do not."""

import math

import pytest

import lastbit as lb
from lastbit.dynamics.horizon import ORDER_ONE

SMOOTH = {
    "activation": "swish",
    "lr": 0.6,
    "weight_decay": 0.02,
    "schedule": "constant",
    "epochs": 20,
    "twins": 4,
    "threads": 1,
    "workers": 1,
    "quiet": True,
}
"""A step beyond its limit and a smooth activation: growth that does not depend on the size of a difference."""


def horizons(**settings):
    found = lb.trace("digits", **SMOOTH, **settings).result
    return {one.dtype: one for one in found.horizons}


@pytest.mark.slow
@pytest.mark.thorough
def test_twins_that_stay_small_tell_when_those_of_each_format_are_of_order_one(tmp_path, record_property):
    told = horizons(dtype="float64", renormalise=True, out=tmp_path / "small")
    met = {dtype: horizons(dtype=dtype, out=tmp_path / dtype)[dtype] for dtype in ("float32", "float64")}
    said = {dtype: (told[dtype].step.estimate, one.step.estimate) for dtype, one in met.items()}
    record_property("measured", "; ".join(f"{d}: told {a:.0f}, met {b:.0f}" for d, (a, b) in said.items()))
    for dtype, one in met.items():
        assert told[dtype].kind == one.kind == "reached", dtype
    assert told["float64"].step.estimate == pytest.approx(met["float64"].step.estimate, rel=0.1), said
    # Each of t steps rounds anew in float32, and each rounding grows on: up to √t times the distance of one alone, and
    # half of that again, for the rate of growth is a mean over the steps.
    step, nats = told["float32"].step.estimate, math.log(ORDER_ONE * 2**24)
    assert step * (1 - 0.75 * math.log(step) / nats) < met["float32"].step.estimate < 1.1 * step, said
    assert told["bfloat16"].step.estimate < told["float32"].step.estimate < told["float64"].step.estimate


@pytest.mark.slow
def test_a_training_that_ends_before_its_horizon_says_so(tmp_path):
    found = horizons(dtype="float64", out=tmp_path / "short", train_size=320)
    assert found["float64"].kind == "not_within"
    assert found["float64"].step.note == f"not measured: not within {found['float64'].within} steps"
