"""Bounds on learning rate and weight decay against the descent they are about, linearised and on the loss itself."""

import math

import pytest
import torch

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.pde import DESCENTS, descent_scheme
from lastbit.pde.cnn.linear_flow import growth
from lastbit.pde.deep import bounds_at, initial_kernels
from lastbit.pde.deep.bounds import deep_bounds
from lastbit.pde.deep.descent import descend
from lastbit.pde.deep.network import deep_problem
from lastbit.pde.deep.operator import linearise, spectrum


def growth_per_step(flow, start_P, scheme, *, lr, weight_decay, steps=200):
    """The mean factor per step by which `start_P` grows under `d = (H + α)v`, over the second half of the steps."""
    decay_M = torch.tensor([weight_decay], dtype=torch.float64)
    total_M = growth(
        lambda v_MP: flow(v_MP[0])[None], start_P[None], dt=lr, weight_decay_M=decay_M, scheme=scheme, steps=steps
    )
    return math.exp(float(total_M[0]) / (steps - steps // 2))


def turning_point(grows, holds_at, grows_at):
    """Where the descent begins to grow between two settings, to a relative width of 0.004."""
    assert not grows(holds_at)
    assert grows(grows_at)
    while abs(grows_at - holds_at) > 4e-3 * max(abs(grows_at), abs(holds_at)):
        middle = (holds_at + grows_at) / 2
        holds_at, grows_at = (holds_at, middle) if grows(middle) else (middle, grows_at)
    return (holds_at + grows_at) / 2


def network(depth, activation="swish", **settings):
    problem = deep_problem(depth=depth, width=2, kernel=2, image_size=5, images=2, activation=activation, **settings)
    return problem, initial_kernels(problem, seed=depth)


@pytest.mark.parametrize("depth", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", DESCENTS)
def test_noise_holds_just_below_the_edge_and_grows_just_above(depth, name):
    problem, weights = network(depth)
    scheme = descent_scheme(name, None if name == "euler" else 0.8)
    decay = max(0.05, -1.3 * spectrum(linearise(problem, weights)).lowest)
    found = bounds_at(problem, weights, scheme, weight_decay=decay)
    assert found.max_stable_lr == found.edge_lr
    flow = linearise(problem, weights)
    noise = torch.randn(problem.parameters, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    below, above = (
        growth_per_step(flow, noise, scheme, lr=share * found.edge_lr, weight_decay=decay, steps=400)
        for share in (0.995, 1.005)
    )
    assert below < 1 < above


@pytest.mark.parametrize("name", DESCENTS)
@pytest.mark.parametrize("activation", ["swish", pytest.param("linear", marks=pytest.mark.slow)])
def test_bisection_on_the_descent_finds_both_bounds(name, activation):
    problem, weights = network(2, activation)
    scheme = descent_scheme(name, None if name == "euler" else 0.8)
    flow = linearise(problem, weights)
    ends = spectrum(flow)
    assert ends.lowest < 0
    decay = -1.5 * ends.lowest
    found = bounds_at(problem, weights, scheme, weight_decay=decay, lr=0.5)
    edge = turning_point(
        lambda lr: growth_per_step(flow, ends.sharpest_mode, scheme, lr=lr, weight_decay=decay, steps=60) > 1,
        0.7 * found.edge_lr,
        1.5 * found.edge_lr,
    )
    assert edge == pytest.approx(found.edge_lr, rel=5e-3)
    lr = 0.3 * found.edge_lr
    alpha_min = turning_point(
        lambda alpha: growth_per_step(flow, ends.lowest_mode, scheme, lr=lr, weight_decay=alpha, steps=60) > 1,
        1.5 * found.alpha_min,
        0.5 * found.alpha_min,
    )
    assert alpha_min == pytest.approx(found.alpha_min, rel=5e-3)
    # The upper bound on the decay is the same edge seen from the other side.
    at_alpha_max = bounds_at(problem, weights, scheme, weight_decay=found.alpha_max)
    assert at_alpha_max.edge_lr == pytest.approx(0.5, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [2, 4])
@pytest.mark.parametrize("width", [2, 6])
@pytest.mark.parametrize("kernel", [1, 4])
def test_the_edge_is_where_noise_begins_to_grow_as_networks_grow(depth, width, kernel):
    problem = deep_problem(depth=depth, width=width, kernel=kernel, image_size=6, images=2)
    weights = initial_kernels(problem, seed=1)
    flow, scheme = linearise(problem, weights), descent_scheme("euler")
    decay = max(0.02, -1.2 * spectrum(flow).lowest)
    edge = bounds_at(problem, weights, scheme, weight_decay=decay).edge_lr
    noise = torch.randn(problem.parameters, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    below, above = (
        growth_per_step(flow, noise, scheme, lr=share * edge, weight_decay=decay, steps=700) for share in (0.995, 1.005)
    )
    assert below < 1 < above


def test_too_little_decay_grows_at_every_rate():
    problem, weights = network(2)
    flow = linearise(problem, weights)
    ends = spectrum(flow)
    scheme = descent_scheme("euler")
    found = bounds_at(problem, weights, scheme, weight_decay=-0.9 * ends.lowest, lr=1e-3)
    assert found.max_stable_lr == 0
    assert found.is_stable is False
    for lr in (1e-4, 1e-2, 0.5 * found.edge_lr):
        assert growth_per_step(flow, ends.lowest_mode, scheme, lr=lr, weight_decay=found.weight_decay, steps=50) > 1


DECAY = 0.02


@pytest.fixture(scope="module")
def minimum():
    """A network at a minimum of its regularised loss, reached by descent until rounding."""
    problem = deep_problem(depth=2, width=2, kernel=3, image_size=8, images=2)
    start = initial_kernels(problem, seed=1)
    reached = descend(problem, start, descent_scheme("nesterov", 0.9), lr=0.3, weight_decay=DECAY, steps=1200)
    assert reached.gradient_norm < 1e-12
    return problem, reached.weights_P


@pytest.mark.parametrize("name", DESCENTS)
def test_the_loss_itself_turns_at_the_edge_of_its_minimum(minimum, name):
    """From the minimum, push the weights by 1e-6 and step just below and above the edge."""
    problem, at = minimum
    scheme = descent_scheme(name, None if name == "euler" else 0.5)
    found = bounds_at(problem, at, scheme, weight_decay=DECAY)
    assert found.alpha_min < DECAY
    mode = spectrum(linearise(problem, at)).sharpest_mode
    ends = {}
    for share in (0.98, 1.02):
        run = descend(problem, at + 1e-6 * mode, scheme, lr=share * found.edge_lr, weight_decay=DECAY, steps=250)
        ends[share] = float((run.weights_P - at).norm())
    assert ends[0.98] < 2e-7
    assert ends[1.02] > 5e-6


def test_descent_that_blows_up_is_a_status():
    problem, weights = network(2)
    run = descend(problem, weights, descent_scheme("euler"), lr=1e3, weight_decay=10.0, steps=200)
    assert run.status is RunStatus.DIVERGED
    assert len(run.losses) < 201


def test_bounds_follow_from_the_ends_and_training_moves_the_weights():
    small = {"depth": 2, "width": 2, "kernel": 2, "image_size": 5, "images": 2}
    found = deep_bounds(**small, lr=0.3, weight_decay=0.1, scheme="heavy_ball", momentum=0.5)
    assert found.alpha_min == -found.lowest
    assert found.alpha_max == pytest.approx(3 / 0.3 - found.sharpness)
    assert found.edge_lr == pytest.approx(3 / (found.sharpness + 0.1))
    assert [layer.parameters for layer in found.layers] == [8, 8]
    trained = deep_bounds(**small, weight_decay=0.1, train_steps=50)
    assert trained.loss != found.loss
    assert trained.gradient_norm < found.gradient_norm


def test_flat_directions_leave_no_edge():
    """Dark images: the loss does not depend on the weights, every eigenvalue is 0, and only the decay is left."""
    problem = deep_problem(depth=2, width=2, kernel=2, image_size=5, images=2)
    dark = type(problem)(
        torch.zeros_like(problem.images_BCHW), problem.labels_B, problem.widths, 2, "linear", 1.0, "mean"
    )
    flat = bounds_at(dark, initial_kernels(dark), descent_scheme("euler"))
    assert flat.edge_lr == math.inf
    assert flat.max_stable_lr == math.inf
    decayed = bounds_at(dark, initial_kernels(dark), descent_scheme("euler"), weight_decay=0.5)
    assert decayed.edge_lr == pytest.approx(2 / 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scheme": "adam"}, "unknown descent scheme"),
        ({"weight_decay": math.nan}, "weight decay = nan"),
        ({"lr": 0.0}, "lr = 0.0"),
        ({"scheme": "nesterov", "momentum": 1.0}, "momentum 1.0"),
        ({"train_steps": 100, "train_lr": 1e6, "weight_decay": 10.0}, "diverged at step"),
        ({"train_steps": 5, "train_lr": -1.0}, "lr = -1.0"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, message):
    with pytest.raises(LastbitError, match=message) as caught:
        deep_bounds(depth=2, width=2, kernel=2, image_size=5, images=2, **arguments)
    assert "\n" not in str(caught.value)
