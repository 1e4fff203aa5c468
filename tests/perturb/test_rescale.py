"""`Rescale` against the published update written out, its bound, and its behaviour where the direction is not known."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from own_steps import Untaught
from torch import nn

from lastbit.core.blocks import Scratch
from lastbit.core.errors import LastbitError
from lastbit.core.ulp import step_ulps, ulp, ulp_distance
from lastbit.optimizers.parts import Direction
from lastbit.perturb.rescale import Rescale


def gradients(steps=6, sizes=((5, 3), (7,), ()), dtype=torch.float32):
    generator = torch.Generator().manual_seed(5)

    def draw(size):
        return torch.randn(size, generator=generator, dtype=torch.float64).to(dtype)

    return [[draw(size) for size in sizes] for _ in range(steps)]


def start(dtype=torch.float32):
    generator = torch.Generator().manual_seed(6)
    return [torch.randn(size, generator=generator, dtype=torch.float64).to(dtype) for size in ((5, 3), (7,), ())]


def run(optimizer_class, options, perturbation, steps):
    params = [nn.Parameter(weight.clone()) for weight in start(steps[0][0].dtype)]
    optimizer = optimizer_class(params, **options)
    perturbation.attach(optimizer)
    for grads in steps:
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad.clone()
        optimizer.step()
    return [param.detach() for param in params]


def published_sgd(k, steps, *, lr, momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0, maximize=False):
    """The published loop, parameter by parameter: `w <- w - (k * lr) * (d / k)`."""
    weights = start(steps[0][0].dtype)
    buffers = [None] * len(weights)
    for grads in steps:
        for i, grad in enumerate(grads):
            d = -grad if maximize else grad
            if weight_decay:
                d = d.add(weights[i], alpha=weight_decay)
            if momentum:
                if buffers[i] is None:
                    buffers[i] = d.clone()
                else:
                    buffers[i] = (buffers[i] * momentum).add(d, alpha=1 - dampening)
                d = d.add(buffers[i], alpha=momentum) if nesterov else buffers[i]
            weights[i] = weights[i].add(d / k, alpha=-(k * lr))
    return weights


def published_adam(k, steps, *, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False, amsgrad=False):
    """The same with Adam's direction, the ratio of its moments."""
    weights = start(steps[0][0].dtype)
    first = [torch.zeros_like(weight) for weight in weights]
    second = [torch.zeros_like(weight) for weight in weights]
    largest = [torch.zeros_like(weight) for weight in weights]
    for t, grads in enumerate(steps, start=1):
        for i, grad in enumerate(grads):
            if decoupled:
                weights[i] = weights[i] * (1 - lr * weight_decay)
            elif weight_decay:
                grad = grad.add(weights[i], alpha=weight_decay)
            first[i] = first[i].lerp(grad, 1 - betas[0])
            second[i] = (second[i] * betas[1]).addcmul(grad, grad, value=1 - betas[1])
            largest[i] = torch.maximum(largest[i], second[i])
            scale = (largest[i] if amsgrad else second[i]).sqrt() / (1 - betas[1] ** t) ** 0.5 + eps
            weights[i] = weights[i].addcdiv(first[i] / k, scale, value=-(k * (lr / (1 - betas[0] ** t))))
    return weights


def published_rmsprop(k, steps, *, lr, alpha=0.99, eps=1e-8, momentum=0.0, centered=False):
    weights = start(steps[0][0].dtype)
    square, mean, buffer = ([torch.zeros_like(weight) for weight in weights] for _ in range(3))
    for grads in steps:
        for i, grad in enumerate(grads):
            square[i] = (square[i] * alpha).addcmul(grad, grad, value=1 - alpha)
            mean[i] = mean[i].lerp(grad, 1 - alpha)
            scale = (square[i].addcmul(mean[i], mean[i], value=-1) if centered else square[i]).sqrt() + eps
            if momentum:
                buffer[i] = (buffer[i] * momentum).addcdiv(grad, scale)
                weights[i] = weights[i].add(buffer[i] / k, alpha=-(k * lr))
            else:
                weights[i] = weights[i].addcdiv(grad / k, scale, value=-(k * lr))
    return weights


def published_adagrad(k, steps, *, lr, lr_decay=0.0, eps=1e-10):
    weights = start(steps[0][0].dtype)
    total = [torch.zeros_like(weight) for weight in weights]
    for t, grads in enumerate(steps):
        for i, grad in enumerate(grads):
            total[i] = total[i].addcmul(grad, grad, value=1)
            rate = lr / (1 + t * lr_decay)
            weights[i] = weights[i].addcdiv(grad / k, total[i].sqrt() + eps, value=-(k * rate))
    return weights


SGDS = [
    {},
    {"maximize": True, "weight_decay": 0.01},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    {"momentum": 0.9, "nesterov": True, "maximize": True},
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("options", SGDS, ids=lambda options: "-".join(options) or "plain")
@pytest.mark.parametrize("k", [3, 11])
def test_sgd_is_the_published_update_bit_for_bit(k, options, foreach, dtype):
    steps = gradients(dtype=dtype)
    got = run(torch.optim.SGD, {"lr": 0.1, "foreach": foreach, **options}, Rescale(k=k), steps)
    for a, b in zip(got, published_sgd(k, steps, lr=0.1, **options), strict=True):
        assert torch.equal(a, b)
    plain = run(torch.optim.SGD, {"lr": 0.1, "foreach": foreach, **options}, Rescale(k=1), steps)
    assert any(not torch.equal(a, b) for a, b in zip(got, plain, strict=True))


RATIOS = [
    (torch.optim.Adam, published_adam, {"weight_decay": 0.1}, {}),
    (torch.optim.Adam, published_adam, {"amsgrad": True}, {}),
    (torch.optim.AdamW, published_adam, {"weight_decay": 0.1}, {"decoupled": True}),
    (torch.optim.RMSprop, published_rmsprop, {}, {}),
    (torch.optim.RMSprop, published_rmsprop, {"momentum": 0.9, "centered": True}, {}),
    (torch.optim.Adagrad, published_adagrad, {"lr_decay": 0.1}, {}),
]


@pytest.mark.parametrize(("optimizer", "twin", "options", "extra"), RATIOS)
@pytest.mark.parametrize("k", [3, 5])
def test_adaptive_optimizers_are_the_published_update_bit_for_bit(k, optimizer, twin, options, extra):
    steps = gradients()
    got = run(optimizer, {"lr": 0.01, "foreach": False, **options}, Rescale(k=k), steps)
    for a, b in zip(got, twin(k, steps, lr=0.01, **options, **extra), strict=True):
        assert torch.equal(a, b)


def test_a_tensor_learning_rate_is_read_as_the_step_reads_it():
    steps = gradients()
    got = run(torch.optim.SGD, {"lr": torch.tensor(0.1), "foreach": False}, Rescale(k=3), steps)
    for a, b in zip(got, published_sgd(3, steps, lr=float(torch.tensor(0.1))), strict=True):
        assert torch.equal(a, b)


def test_bias_correction_follows_each_parameter_that_skips_steps():
    steps = gradients()

    def skipping(perturbation):
        params = [nn.Parameter(weight.clone()) for weight in start()]
        optimizer = torch.optim.Adam(params, lr=0.01)
        perturbation.attach(optimizer)
        for number, grads in enumerate(steps):
            for i, param in enumerate(params):
                param.grad = None if i == 1 and number % 2 else grads[i].clone()
            optimizer.step()
        return [param.detach() for param in params]

    got, plain = skipping(Rescale(k=3)), skipping(Rescale(k=1))
    for i, part in enumerate(got):
        alone = published_adam(3, steps[::2] if i == 1 else steps, lr=0.01)
        assert torch.equal(part, alone[i])
    assert all(torch.equal(a, b) for a, b in zip(skipping(Rescale(k=4)), plain, strict=True))


# The constants of the docstring's bound, for products that are rounded.
ROUNDINGS = {torch.optim.SGD: 5, torch.optim.Adam: 7}
exponents = st.integers(-12, 8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.Adam], ids=lambda each: each.__name__)
@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=exponents,
    step=exponents,
    k=st.sampled_from([3, 5, 7, 9, 11, 13, 101]),
    lr=st.floats(1e-4, 1.0),
)
def test_one_step_is_within_the_proven_bound(optimizer_class, dtype, seed, size, step, k, lr):
    generator = torch.Generator().manual_seed(seed)
    weight = (torch.randn(64, generator=generator, dtype=torch.float64) * 2.0**size).to(dtype)
    grad = (torch.randn(64, generator=generator, dtype=torch.float64) * 2.0**step).to(dtype)
    results = []
    for perturbation in (Rescale(k=1), Rescale(k=k)):
        param = nn.Parameter(weight.clone())
        optimizer = optimizer_class([param], lr=lr, foreach=False)
        with perturbation.attach(optimizer):
            param.grad = grad.clone()
            optimizer.step()
        results.append(param.detach())
    x, y = results
    unit = torch.finfo(dtype).eps / 2
    # The factor is room for the terms of second order.
    c = ROUNDINGS[optimizer_class] * (1 + 8 * unit)
    if optimizer_class is torch.optim.SGD:
        update = lr * grad.double().abs()
    else:
        # In the first step Adam's ratio is g / (|g| + eps): 1 up to rounding.
        update = torch.full_like(weight, lr, dtype=torch.float64) * (1 + 8 * unit)
    difference = (y.double() - x.double()).abs()
    assert bool((difference <= ulp(x).double() / 2 + ulp(y).double() / 2 + c * unit * update).all())
    neighbours = c * update < torch.minimum(x.abs(), y.abs()).double()
    assert int((ulp_distance(x, y) * neighbours).max()) <= 1


def test_an_unknown_direction_lands_on_weights_of_the_size_of_their_update():
    def run_untaught(perturbation, scale):
        generator = torch.Generator().manual_seed(1)
        param = nn.Parameter(torch.randn(1000, generator=generator) * scale)
        optimizer = Untaught([param], lr=0.01)
        with perturbation.attach(optimizer):
            param.grad = torch.randn(1000, generator=generator)
            optimizer.step()
        return param.detach()

    # 7 is no sum of two powers of two, so that the quotient times it is another number even without fused products.
    small, base = run_untaught(Rescale(k=7), 1e-4), run_untaught(Rescale(k=1), 1e-4)
    assert bool((small != base).any())
    assert float((small - base).abs().max()) <= 4 * float(ulp(base.abs().max()))
    assert torch.equal(run_untaught(Rescale(k=4), 1e-4), base)
    assert torch.equal(run_untaught(Rescale(k=7), 100.0), run_untaught(Rescale(k=1), 100.0))


def test_lbfgs_which_evaluates_its_closure_many_times_is_perturbed_as_a_whole():
    def run_lbfgs(perturbation):
        param = nn.Parameter(torch.tensor([0.0, 0.0]))
        optimizer = torch.optim.LBFGS([param], lr=0.3, max_iter=3)
        perturbation.attach(optimizer)

        def closure():
            optimizer.zero_grad()
            loss = ((param - torch.tensor([0.7, -1.3])) ** 4).sum()
            loss.backward()
            return loss

        for _ in range(3):
            optimizer.step(closure)
        return param.detach()

    base = run_lbfgs(Rescale(k=1))
    assert torch.equal(run_lbfgs(Rescale(k=2)), base)
    assert torch.allclose(run_lbfgs(Rescale(k=7)), base, atol=1e-5)


@pytest.mark.parametrize("k", [0, -3, 6, 12, 2.0, 3.5, True, "3", None])
def test_a_factor_that_is_neither_odd_nor_a_power_of_two_is_refused(k):
    with pytest.raises(LastbitError, match=r"k = .*: write"):
        Rescale(k=k)


def test_sparse_gradients_are_refused():
    table = nn.Embedding(4, 2, sparse=True)
    optimizer = torch.optim.SGD(table.parameters(), lr=0.1)
    Rescale(k=3).attach(optimizer)
    table(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(LastbitError, match="sparse"):
        optimizer.step()


def test_weights_in_another_memory_order_are_matched_by_place():
    def run_conv(memory_format):
        weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
        param = nn.Parameter(weight.to(memory_format=memory_format))
        optimizer = torch.optim.SGD([param], lr=0.1, foreach=False)
        Rescale(k=3).attach(optimizer)
        param.grad = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(1))
        optimizer.step()
        return param.detach()

    assert torch.equal(run_conv(torch.channels_last), run_conv(torch.contiguous_format))


@pytest.mark.parametrize("off", [0, 3])
def test_a_step_that_is_rounded_in_its_own_way_is_perturbed_by_one_ulp(off):
    """A fused step on a GPU ends some ulps off torch's single-tensor step: what it made is moved on, not replaced."""
    before = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    direction = Direction(-0.01, before.flip(0))
    plain = direction.applied(before)
    native = step_ulps(plain, off)
    step = SimpleNamespace(before=before, after=native, scratch=Scratch())
    rescaled = Rescale(k=3)._rescaled(step, direction)
    assert int((ulp_distance(rescaled, native) * (native.abs() > 0.2)).max()) == 1
    assert torch.equal(rescaled != native, direction.applied(before, 3) != plain)
    assert torch.equal(Rescale(k=4)._rescaled(step, direction), native)
    if off == 0:
        assert torch.equal(rescaled, direction.applied(before, 3))
