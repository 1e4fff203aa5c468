"""The stable learning rate as networks grow: the sweep's own arithmetic, and the claim it is made for."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from lastbit.core.errors import LastbitError
from lastbit.pde.deep import complexity_sweep, deep_bounds
from lastbit.pde.deep.network import kept_gain

SMALL = {"image_size": 6, "images": 2}


def test_sweep_holds_what_single_networks_give():
    sweep = complexity_sweep(
        depths=(1, 2), widths=(2, 4), kernels=(), base={"depth": 2, "width": 2, "kernel": 3}, seeds=(0, 1, 2), **SMALL
    )
    depth, width = sweep.trends
    assert (depth.axis, width.axis) == ("depth", "width")
    single = deep_bounds(depth=2, width=4, kernel=3, seed=1, **SMALL)
    assert width.edge_lr[1][1] == pytest.approx(single.edge_lr, rel=1e-7)
    assert width.sharpest_layer[1][1] == single.binding_layer
    # The base network is on both axes.
    assert [row[1] for row in depth.edge_lr] == [row[0] for row in width.edge_lr]

    slopes = [math.log(row[1] / row[0]) / math.log(2) for row in width.edge_lr]
    assert width.exponent == pytest.approx(np.mean(slopes))
    low, high = stats.t.interval(0.95, 2, loc=np.mean(slopes), scale=stats.sem(slopes))
    assert width.interval == pytest.approx((low, high))


def test_a_trend_that_cannot_be_fitted_has_no_exponent():
    """Driven by negative decay, no learning rate is too large at any size: nothing has a logarithm to fit."""
    sweep = complexity_sweep(depths=(1, 2), widths=(), kernels=(), seeds=(0, 1), weight_decay=-50.0, **SMALL)
    (trend,) = sweep.trends
    assert math.isnan(trend.exponent)
    assert trend.interval is None
    assert trend.edge_lr == ((math.inf, math.inf), (math.inf, math.inf))


def test_progress_counts_every_network_once():
    told = []
    base = {"depth": 2, "width": 2, "kernel": 1}
    complexity_sweep(
        depths=(1, 2),
        widths=(2, 3),
        kernels=(1, 2),
        base=base,
        seeds=(0, 1),
        progress=lambda *a: told.append(a),
        **SMALL,
    )
    # The base network lies on all three axes: 4 networks at 2 seeds.
    assert told == [(done, 8) for done in range(1, 9)]
    told.clear()
    deep_bounds(depth=3, progress=lambda *a: told.append(a), **SMALL)
    assert told == [(done, 4) for done in range(1, 5)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_bounds_are_the_same_on_another_device():
    here, there = (deep_bounds(depth=2, device=device, **SMALL) for device in ("cpu", "cuda"))
    # float64 on both: only the order of sums differs, and the eigenvalues are asked for to 1e-8.
    assert there.sharpness == pytest.approx(here.sharpness, rel=1e-7)
    assert there.lowest == pytest.approx(here.lowest, rel=1e-7)


def test_one_seed_gives_no_trend():
    sweep = complexity_sweep(depths=(1, 2), widths=(), kernels=(), base={"width": 2, "kernel": 2}, seeds=(0,), **SMALL)
    assert sweep.trends[0].interval is None
    assert sweep.trends[0].direction == "too_few_seeds"


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["swish", "linear"])
def test_stable_learning_rate_falls_with_depth_width_and_kernel(activation):
    """C12. The intervals, over eight starts, must lie below 0 on every axis."""
    sweep = complexity_sweep(
        depths=(1, 2, 4), widths=(2, 4, 8), kernels=(1, 3, 5), activation=activation, image_size=12, images=2
    )
    for trend in sweep.trends:
        assert trend.converged
        assert trend.interval[1] < 0
        assert trend.direction == "falls"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depths": (2,)}, "two different sizes"),
        ({"depths": (), "widths": (), "kernels": ()}, "two different sizes"),
        ({"seeds": ()}, "needs a seed"),
        ({"base": {"hight": 3}}, "unknown axis"),
        ({"width": 3}, "write base="),
    ],
)
def test_bad_sweeps_are_refused_in_one_line(arguments, message):
    with pytest.raises(LastbitError, match=message):
        complexity_sweep(**arguments)


@pytest.mark.parametrize(("activation", "gain"), [("linear", 1.0), ("swish", None)])
def test_signals_keep_their_size_at_the_kept_gain(activation, gain):
    """By brute force: a wide layer of unit signals answers with signals of mean square 1."""
    found = kept_gain(activation)
    z = math.sqrt(found) * np.random.default_rng(0).standard_normal(1_000_000)
    signals = z / (1 + np.exp(-z)) if activation == "swish" else z
    assert np.mean(signals**2) == pytest.approx(1, abs=0.01)
    assert gain is None or found == gain


def test_a_gain_of_nothing_is_refused():
    with pytest.raises(LastbitError, match="beta"):
        kept_gain("swish", -1.0)
