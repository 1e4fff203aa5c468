"""`StochasticRounding` against exact arithmetic: which neighbours, how often, and without bias."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from own_steps import Untaught
from torch import nn

from lastbit.core.blocks import Scratch
from lastbit.core.errors import LastbitError
from lastbit.core.ulp import ulp, ulp_distance
from lastbit.optimizers import Direction
from lastbit.perturb.stochastic_rounding import StochasticRounding, rounding_error


def stepped(weight, grad, perturbation, optimizer_class=torch.optim.SGD, steps=1, **options):
    param = nn.Parameter(weight.clone())
    optimizer = optimizer_class([param], **options)
    if perturbation is not None:
        perturbation.attach(optimizer)
    for _ in range(steps):
        param.grad = grad.clone()
        optimizer.step()
    return param.detach()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_every_weight_is_one_of_the_two_neighbours_of_the_exact_result(dtype):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(150, generator=generator, dtype=torch.float64).to(dtype)
    grad = torch.randn(150, generator=generator, dtype=torch.float64).to(dtype)
    got = stepped(weight, grad, StochasticRounding(seed=1), lr=0.125)
    native = stepped(weight, grad, None, lr=0.125)
    assert bool((got != native).any())
    assert int(ulp_distance(got, native).max()) == 1
    # lr is a power of two, so the product is exact; so are Fractions.
    for w, g, z in zip(weight.double().tolist(), grad.double().tolist(), got, strict=True):
        exact = Fraction(w) - Fraction(1, 8) * Fraction(g)
        spacing = max(Fraction(float(ulp(z))), Fraction(float(ulp(torch.nextafter(z, torch.zeros_like(z))))))
        assert abs(Fraction(float(z)) - exact) < spacing


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.8])
def test_the_mean_is_the_exact_result(dtype, share):
    """A weight of one and an update of `share` ulps, 20,000 times: up with probability `share`, to five sigma."""
    n, eps = 20_000, torch.finfo(dtype).eps
    weight, grad = torch.ones(n, dtype=dtype), torch.full((n,), -share * eps, dtype=dtype)
    got = stepped(weight, grad, StochasticRounding(seed=3), lr=1.0)
    up = (got.double() - 1) / eps
    assert set(up.tolist()) <= {0.0, 1.0}
    sigma = (share * (1 - share) / n) ** 0.5
    # A bfloat16 gradient keeps `share` itself to 2^-9.
    assert abs(float(up.mean()) - share) <= 5 * sigma + share * 2**-8


def test_adam_is_rounded_around_its_exact_ratio():
    n = 4_000
    generator = torch.Generator().manual_seed(0)
    weight, grad = torch.randn(n, generator=generator), torch.randn(n, generator=generator)
    options = {"optimizer_class": torch.optim.AdamW, "lr": 1e-3, "steps": 1}
    got = stepped(weight, grad, StochasticRounding(seed=0), **options)
    native = stepped(weight, grad, None, **options)
    # First step, default decay 1e-2: w (1 - 1e-5) - lr g / (|g| + eps), up to the rounding of torch's own moments.
    exact = weight.double() * (1 - 1e-5) - 1e-3 * grad.double() / (grad.double().abs() + 1e-8)
    assert int(ulp_distance(got, native).max()) == 1
    # Beside a weight far above its update the error of the moments is far below an ulp.
    z = ((got.double() - exact) / ulp(native).double())[weight.abs() > 0.1]
    assert abs(float(z.mean())) < 5 * float(z.std()) / z.numel() ** 0.5
    # Uniform in position, the error of stochastic rounding has variance E[f (1 - f)] = 1/6; rounding to nearest, 1/12.
    assert float(z.var()) == pytest.approx(1 / 6, rel=0.1)


def test_an_unknown_direction_moves_a_quarter_of_the_weights_either_way():
    n = 20_000
    generator = torch.Generator().manual_seed(0)
    weight, grad = torch.randn(n, generator=generator), torch.randn(n, generator=generator)
    grad[:100] = 0
    options = {"optimizer_class": Untaught, "lr": 1e-3}
    got = stepped(weight, grad, StochasticRounding(seed=0), **options)
    native = stepped(weight, grad, None, **options)
    assert torch.equal(got[:100], weight[:100])
    assert int(ulp_distance(got, native).max()) == 1
    for moved in (got > native, got < native):
        # Five sigma around 1/8.
        assert abs(float(moved[100:].double().mean()) - 1 / 8) < 5 * (7 / 64 / n) ** 0.5


@pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.Adam, Untaught])
def test_a_weight_without_update_stays(optimizer_class):
    weight = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    got = stepped(weight, torch.zeros(1000), StochasticRounding(seed=0), optimizer_class, lr=0.1, steps=3)
    assert torch.equal(got, weight)


def test_weights_at_the_end_of_the_line_stay_on_it():
    largest = torch.finfo(torch.float32).max
    weight = torch.tensor([largest, -largest, float("inf"), float("nan")] * 50)
    grad = torch.tensor([-1.0, 1.0, 1.0, 1.0] * 50)
    for optimizer_class in (torch.optim.SGD, Untaught):
        got = stepped(weight, grad, StochasticRounding(seed=0), optimizer_class, lr=0.1)
        assert bool(torch.isfinite(got.view(-1, 4)[:, :2]).all())
        assert bool(torch.isposinf(got.view(-1, 4)[:, 2]).all())
        assert bool(torch.isnan(got.view(-1, 4)[:, 3]).all())


# Below 1e-290 the error of a quarter would itself underflow: no float64 holds it.
finite = st.one_of(st.just(0.0), st.floats(1e-290, 1e6), st.floats(-1e6, -1e-290))


@settings(deadline=None, max_examples=150)
@given(weight=finite, numerator=finite)
def test_the_rounding_error_of_float64_is_exact(weight, numerator):
    before, update = torch.tensor([weight], dtype=torch.float64), torch.tensor([numerator], dtype=torch.float64)
    direction = Direction(0.25, update)
    after = direction.applied(before)
    error = rounding_error(direction, before, after, Scratch())
    assert Fraction(float(after)) + Fraction(float(error)) == Fraction(weight) - Fraction(numerator) / 4


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32 - 1), scale=st.integers(-20, 20))
def test_the_rounding_error_of_float32_is_that_of_fractions(seed, scale):
    stream = np.random.default_rng(seed)
    w, n = stream.normal(size=2).astype(np.float32) * np.float32([1, 2.0**scale])
    d = np.float32(stream.uniform(0.5, 2))
    before, after = torch.tensor([w]), torch.tensor([w]) - 0.1 * torch.tensor([n]) / torch.tensor([d])
    error = rounding_error(Direction(0.1, torch.tensor([n]), torch.tensor([d])), before, after, Scratch())
    exact = Fraction(float(w)) - Fraction(0.1) * Fraction(float(n)) / Fraction(float(d))
    difference = abs(Fraction(float(after)) + Fraction(float(error)) - exact)
    assert difference <= Fraction(2) ** -51 * (abs(Fraction(float(w))) + abs(exact))


@pytest.mark.parametrize("seed", [-1, 1.5, "0", None])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(LastbitError, match=r"seed = .*whole number"):
        StochasticRounding(seed=seed)
