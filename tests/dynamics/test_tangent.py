import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.dynamics.tangent import Tangent, init_tangent, step_tangent

OPTIMIZERS = {
    "heavy ball": lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.9, weight_decay=0.1),
    "Nesterov": lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.8, nesterov=True, weight_decay=0.1),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.02, eps=1e-3),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.02, eps=1e-3, weight_decay=0.3),
}


def along(direction):
    """A tangent of norm 1 along a given difference."""
    parts = [x.detach().double() for x in direction.values()]
    norm = math.sqrt(sum(float(x.square().sum()) for x in parts))
    return Tangent(tuple(direction), tuple(x / norm for x in parts), ((),) * len(parts))


def double_backward(loss, parameters):
    """A Hessian product of the plainest kind."""
    parameters = list(parameters)
    gradients = torch.autograd.grad(loss, parameters, create_graph=True)

    def product(direction):
        with torch.enable_grad():
            found = torch.autograd.grad(gradients, parameters, direction, retain_graph=True, allow_unused=True)
        return [torch.zeros_like(p) if x is None else x for p, x in zip(parameters, found, strict=True)]

    return product


def tiny_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def tiny_batch(step):
    generator = torch.Generator().manual_seed(100 + step)
    return (torch.randn(5, 3, generator=generator).double(), torch.randint(2, (5,), generator=generator))


def train(model, make, steps, carry=None, batch=tiny_batch, preconditioner="full"):
    """Train with the real optimizer; carry a tangent along where one is given, and return it with its growths."""
    optimizer, growths = make(model.parameters()), []
    for step in range(steps):
        x, y = batch(step)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward(retain_graph=carry is not None)
        if carry is not None:
            weights = dict(model.named_parameters())
            product = double_backward(nn.functional.cross_entropy(model(x), y), weights.values())
            carry, growth = step_tangent(carry, weights, optimizer, product, preconditioner=preconditioner)
            growths.append(growth)
        optimizer.step()
    return carry, growths


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_growth_is_the_sum_of_its_tensors_and_they_add_up(name):
    model = tiny_net()
    carried, growths = train(model, OPTIMIZERS[name], 7, init_tangent(dict(model.named_parameters()), seed=1))
    assert len(growths) == 7
    assert carried.log_growth == pytest.approx(sum(g.log_growth for g in growths))
    for growth in growths:
        assert float(growth.split.sum()) == pytest.approx(growth.log_growth, abs=1e-12)
        assert float(growth.share.sum()) == pytest.approx(1)


@pytest.mark.parametrize("name", ["heavy ball", "Adam", "AdamW"])
def test_one_step_against_the_dense_jacobian(name):
    model = tiny_net()
    names = [n for n, _ in model.named_parameters()]
    shapes = [p.shape for p in model.parameters()]
    x, y = tiny_batch(0)
    optimizer = OPTIMIZERS[name](model.parameters())
    group = optimizer.param_groups[0]

    def loss_of(w):
        parts = torch.split(w, [s.numel() for s in shapes])
        named = {n: part.view(s) for n, part, s in zip(names, parts, shapes, strict=True)}
        return nn.functional.cross_entropy(torch.func.functional_call(model, named, (x,)), y)

    def update(w):
        g = torch.func.grad(loss_of)(w)
        if name == "heavy ball":
            return w - group["lr"] * (g + group["weight_decay"] * w)
        # At the first step the bias corrections cancel the averages: m̂ = g and sqrt(v̂) = |g|.
        kept = w * (1 - group["lr"] * group["weight_decay"])
        return kept - group["lr"] * g / (g.abs() + group["eps"])

    jacobian = torch.func.jacrev(update)(flat(model))
    tangent = init_tangent(dict(model.named_parameters()), seed=2)
    carried, growths = train(model, OPTIMIZERS[name], 1, tangent)
    expected = jacobian @ torch.cat([d.reshape(-1) for d in tangent.direction])
    found = math.exp(growths[0].log_growth) * torch.cat([d.reshape(-1) for d in carried.direction])
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_a_frozen_preconditioner_is_the_derivative_with_v_held():
    model = tiny_net()
    tangent = init_tangent(dict(model.named_parameters()), seed=1)
    x, y = tiny_batch(0)
    weights = list(model.parameters())
    loss = nn.functional.cross_entropy(model(x), y)
    gradients = torch.autograd.grad(loss, weights)
    products = double_backward(nn.functional.cross_entropy(model(x), y), weights)(tangent.direction)
    expected = torch.cat(
        [
            (d - 0.02 * h / (g.abs() + 1e-3)).reshape(-1)
            for d, h, g in zip(tangent.direction, products, gradients, strict=True)
        ]
    )
    carried, _ = train(model, OPTIMIZERS["Adam"], 1, tangent, preconditioner="frozen")
    found = math.exp(carried.log_growth) * torch.cat([d.reshape(-1) for d in carried.direction])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


def quadratic_rates(lr, curvatures, steps, dtype=torch.float64, **options):
    """Growth per step on `1/2 sum λ w²`, by the product of its diagonal Hessian."""
    w = nn.Parameter(torch.ones(len(curvatures), dtype=dtype))
    diagonal = torch.tensor(curvatures, dtype=dtype)
    optimizer = torch.optim.SGD([w], lr=lr, **options)
    tangent, growths = init_tangent({"w": w}, seed=0), []
    for _ in range(steps):
        w.grad = diagonal * w.detach()
        tangent, growth = step_tangent(tangent, {"w": w}, optimizer, lambda d: [diagonal * d[0]])
        growths.append(growth.log_growth)
        optimizer.step()
    return growths


@settings(deadline=None, max_examples=15)
@given(st.floats(0.5, 1.5), st.floats(0.5, 20.0))
def test_a_quadratic_loss_grows_by_its_amplification_factor(relative, top):
    # η relative to 2/λ; the second mode is slower, so after the transient the largest |1 - ηλ| rules.
    lr = relative * 2 / top
    small = 0.9 * top
    factor = max(abs(1 - lr * top), abs(1 - lr * small))
    growths = quadratic_rates(lr, [top, small], 120)
    assert math.exp(growths[-1]) == pytest.approx(factor, rel=0.01)


@pytest.mark.parametrize("relative", [0.9, 1.0, 1.1])
def test_below_at_and_above_the_stable_step(relative):
    growths = quadratic_rates(relative * 2 / 5.0, [5.0, 1.0], 100)
    assert math.exp(growths[-1]) == pytest.approx(abs(1 - 2 * relative), rel=1e-9)
    assert (growths[-1] > 1e-3) == (relative > 1)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_grows_by_the_spectral_radius_of_its_companion_matrix(nesterov):
    lr, momentum, curvature = 0.9, 0.9, 5.0
    step = (1 + momentum * nesterov) * lr * curvature
    companion = torch.tensor([[1 - step, -lr * momentum**2 if nesterov else -lr * momentum], [curvature, momentum]])
    radius = float(torch.linalg.eigvals(companion.double()).abs().max())
    growths = quadratic_rates(lr, [curvature], 400, momentum=momentum, nesterov=nesterov)
    # Two real roots of opposite sizes: the larger rules after the transient.
    assert math.exp(sum(growths[200:]) / 200) == pytest.approx(radius, rel=0.01)


def small_cnn(seed=0):
    torch.manual_seed(seed)
    layers = [
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1),
        nn.BatchNorm2d(8),
    ]
    return nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).double()


def image_batch(step):
    generator = torch.Generator().manual_seed(step % 4)
    labels = torch.randint(5, (16,), generator=generator)
    images = torch.randn(16, 1, 8, 8, generator=generator, dtype=torch.float64)
    return images + labels.view(-1, 1, 1, 1) / 3, labels


def small_cnn_optimizer(parameters):
    return torch.optim.SGD(parameters, lr=0.3, momentum=0.9, nesterov=True, weight_decay=5e-3)


def test_twins_and_tangent_grow_alike_while_twins_are_close():
    # A last-bit twin: the same weights but for one ulp of each, in float64.
    base, twin = small_cnn(), small_cnn()
    with torch.no_grad():
        for p in twin.parameters():
            p.copy_(torch.nextafter(p, torch.full_like(p, 10.0)))
    weights = dict(base.named_parameters())
    direction = {n: q - p for (n, p), q in zip(weights.items(), twin.parameters(), strict=True)}
    tangent = along(direction)
    pair = small_cnn_optimizer(base.parameters()), small_cnn_optimizer(twin.parameters())
    distances, growths = [float((flat(twin) - flat(base)).norm())], []
    for step in range(160):
        x, y = image_batch(step)
        for model, optimizer in zip((base, twin), pair, strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
        product = double_backward(nn.functional.cross_entropy(base(x), y), weights.values())
        tangent, growth = step_tangent(tangent, weights, pair[0], product)
        growths.append(growth.log_growth)
        for optimizer in pair:
            optimizer.step()
        distances.append(float((flat(twin) - flat(base)).norm()))
        if distances[-1] > 1e-3 * float(flat(base).norm()):
            break
    # From where the growth has left the rounding of single steps behind, to where the twins stop being close.
    start = next(i for i, d in enumerate(distances) if d > 100 * distances[0])
    twins = math.log(distances[-1] / distances[start]) / (len(distances) - 1 - start)
    carried = sum(growths[start:]) / (len(growths) - start)
    assert len(growths) - start > 20
    assert twins > 0.05
    assert carried == pytest.approx(twins, rel=0.1)


def test_a_run_branched_in_the_middle_starts_with_still_buffers():
    # Twins branched from one checkpoint share momentum: its tangent starts at 0 though the buffer does not.
    model, moved = tiny_net(), tiny_net()
    pair = [OPTIMIZERS["Nesterov"](m.parameters()) for m in (model, moved)]
    for step in range(3):
        for m, optimizer in zip((model, moved), pair, strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(m(tiny_batch(step)[0]), tiny_batch(step)[1]).backward()
            optimizer.step()
    weights = dict(model.named_parameters())
    tangent = init_tangent(weights, seed=3)
    with torch.no_grad():
        for p, d in zip(moved.parameters(), tangent.direction, strict=True):
            p.add_(d, alpha=1e-7)
    for step in range(3, 6):
        x, y = tiny_batch(step)
        for m, optimizer in zip((model, moved), pair, strict=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(m(x), y).backward()
        product = double_backward(nn.functional.cross_entropy(model(x), y), weights.values())
        tangent, _ = step_tangent(tangent, weights, pair[0], product)
        for optimizer in pair:
            optimizer.step()
    assert math.log(float((flat(moved) - flat(model)).norm()) / 1e-7) == pytest.approx(tangent.log_growth, abs=1e-5)


def test_groups_schedules_and_missing_gradients():
    a, b, idle = (nn.Parameter(torch.ones(2, dtype=torch.float64)) for _ in range(3))
    groups = [{"params": [a], "lr": 0.1}, {"params": [b, idle], "lr": torch.tensor(0.5)}]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    a.grad = b.grad = torch.ones(2, dtype=torch.float64)
    parameters = {"a": a, "b": b, "idle": idle}
    tangent = along({name: torch.ones(2) for name in parameters})
    carried, growth = step_tangent(tangent, parameters, optimizer, lambda d: [2 * x for x in d])
    expected = torch.tensor([0.8, 0.0, 1.0], dtype=torch.float64)
    assert torch.allclose(
        torch.stack([d[0] for d in carried.direction]), expected / (2 * expected.square().sum()).sqrt()
    )
    assert torch.allclose(growth.share, expected.square() / expected.square().sum())


def test_the_optimizer_and_the_model_are_left_alone():
    plain, carried = tiny_net(), tiny_net()
    train(plain, OPTIMIZERS["Adam"], 4)
    train(carried, OPTIMIZERS["Adam"], 4, init_tangent(dict(carried.named_parameters())))
    assert torch.equal(flat(plain), flat(carried))


def test_a_tangent_that_vanishes_or_breaks_says_so():
    w = nn.Parameter(torch.ones(1, dtype=torch.float64))
    w.grad = torch.ones(1, dtype=torch.float64)
    optimizer = torch.optim.SGD([w], lr=0.5)
    tangent, growth = step_tangent(init_tangent({"w": w}), {"w": w}, optimizer, lambda d: [2 * d[0]])
    assert growth.log_growth == -math.inf
    tangent, growth = step_tangent(tangent, {"w": w}, optimizer, lambda d: [2 * d[0]])
    assert math.isnan(growth.log_growth)
    _, growth = step_tangent(init_tangent({"w": w}), {"w": w}, optimizer, lambda d: [math.inf * d[0]])
    assert not math.isfinite(growth.log_growth)


def test_a_weight_whose_gradients_were_all_0_has_a_preconditioner_that_does_not_change():
    w = nn.Parameter(torch.ones(2, dtype=torch.float64))
    w.grad = torch.tensor([0.0, 1.0], dtype=torch.float64)
    tangent = along({"w": torch.ones(2)})
    step_of = {"eps": 1.0, "lr": 0.1}
    carried, growth = step_tangent(tangent, {"w": w}, torch.optim.Adam([w], **step_of), lambda d: [2 * d[0]])
    # First step: sqrt(v) is |g|, so that the second weight moves by lr * g / (|g| + 1), of derivative lr * 2 / 4.
    expected = torch.tensor([1 - 0.1 * 2.0, 1 - 0.1 * 2 / 4], dtype=torch.float64)
    torch.testing.assert_close(
        math.exp(growth.log_growth) * carried.direction[0], expected / math.sqrt(2), rtol=1e-12, atol=0
    )


def test_bad_input_is_named():
    w = nn.Parameter(torch.ones(2))
    named = {"w": w}
    with pytest.raises(LastbitError, match="no parameters"):
        init_tangent({})
    tangent = init_tangent(named)
    with pytest.raises(LastbitError, match=r"no tangent is known for the step of RMSprop \(known: Adam, AdamW, SGD\)"):
        step_tangent(tangent, named, torch.optim.RMSprop([w]), list)
    w.grad = torch.ones(2)
    with pytest.raises(LastbitError, match="amsgrad=False"):
        step_tangent(tangent, named, torch.optim.Adam([w], amsgrad=True), list)
    w.grad = None
    with pytest.raises(LastbitError, match="does not hold w"):
        step_tangent(tangent, named, torch.optim.SGD([nn.Parameter(torch.ones(2))]), list)
    with pytest.raises(LastbitError, match="same names"):
        step_tangent(tangent, {"v": w}, torch.optim.SGD([w]), list)
    with pytest.raises(LastbitError, match="unknown preconditioner 'none'"):
        step_tangent(tangent, named, torch.optim.SGD([w]), list, preconditioner="none")

    class SGD(torch.optim.SGD):
        def step(self, closure=None):
            pass

    with pytest.raises(LastbitError, match="no tangent is known for the step of SGD"):
        step_tangent(tangent, named, SGD([w]), list)
