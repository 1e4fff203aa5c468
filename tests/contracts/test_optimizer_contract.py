"""What is registered of an optimizer, against its own torch code: limits, preconditioner, direction, tangent."""

import copy
from inspect import signature
from math import exp, inf

import pytest
import torch
import torch.optim as optim
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.curvature import stability_limit
from lastbit.dynamics.tangent import init_tangent, step_tangent
from lastbit.optimizers import registry
from lastbit.optimizers.registry import rule_of
from lastbit.optimizers.step import Snapshot

LATE = 10_000

# The limits by hand: every scheme here loses stability where its companion matrix has the eigenvalue -1, so set
# `w_{t+1} = -w_t` and solve for the curvature. They bound the eigenvalue of the (preconditioned) Hessian, of which
# coupled weight decay is a part.


def sgd_limit(lr, momentum=0.0, dampening=0.0):
    """Polyak (1964) for heavy ball; Cohen et al. (ICLR 2021), appendix, for its edge of stability."""
    return (2 + 2 * momentum) / ((1 - dampening if momentum else 1.0) * lr)


def nesterov_limit(lr, momentum):
    """For Nesterov's momentum as torch writes it."""
    return (2 + 2 * momentum) / ((1 + 2 * momentum) * lr)


def adam_limit(lr, beta1, decoupled_weight_decay=0.0, step=None):
    """Cohen et al., Adaptive gradient methods at the edge of stability (arXiv 2207.14484): 38/lr at beta1 = 0.9."""
    correction = 1.0 if step is None else 1 - beta1**step
    return (2 - lr * decoupled_weight_decay) * (1 + beta1) * correction / ((1 - beta1) * lr)


def rmsprop_limit(lr, momentum=0.0):
    """At `momentum = 0` also for Adagrad."""
    return (2 + 2 * momentum) / lr


def asgd_limit(lr, lambd=1e-4, alpha=0.75):
    """`|1 - lambd eta - eta h| = 1` with the step size of step LATE + 1 (Polyak and Juditsky, 1992)."""
    return 2 / asgd_step_size(lr, lambd, alpha) - lambd


def asgd_step_size(lr, lambd, alpha):
    return lr / (1 + lambd * lr * LATE) ** alpha


CASES = {
    "gradient descent": (optim.SGD, {"lr": 0.1}, lambda: sgd_limit(0.1)),
    "gradient descent, decay": (optim.SGD, {"lr": 0.1, "weight_decay": 1.5}, lambda: sgd_limit(0.1)),
    "gradient descent, lr a tensor": (
        optim.SGD,
        {"lr": torch.tensor(0.1, dtype=torch.float64)},
        lambda: sgd_limit(0.1),
    ),
    "heavy ball": (optim.SGD, {"lr": 0.3, "momentum": 0.9}, lambda: sgd_limit(0.3, 0.9)),
    "heavy ball, decay": (optim.SGD, {"lr": 0.3, "momentum": 0.5, "weight_decay": 0.7}, lambda: sgd_limit(0.3, 0.5)),
    "dampened": (optim.SGD, {"lr": 0.3, "momentum": 0.6, "dampening": 0.25}, lambda: sgd_limit(0.3, 0.6, 0.25)),
    "nesterov": (optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}, lambda: nesterov_limit(0.05, 0.9)),
    "nesterov, decay": (
        optim.SGD,
        {"lr": 0.05, "momentum": 0.7, "nesterov": True, "weight_decay": 2.0},
        lambda: nesterov_limit(0.05, 0.7),
    ),
    "adam": (optim.Adam, {"lr": 0.01}, lambda: adam_limit(0.01, 0.9)),
    "adam, coupled decay": (optim.Adam, {"lr": 0.01, "weight_decay": 0.3}, lambda: adam_limit(0.01, 0.9)),
    "adam, amsgrad": (optim.Adam, {"lr": 0.01, "betas": (0.5, 0.99), "amsgrad": True}, lambda: adam_limit(0.01, 0.5)),
    "adam, decoupled": (
        optim.Adam,
        {"lr": 0.1, "weight_decay": 2.0, "decoupled_weight_decay": True},
        lambda: adam_limit(0.1, 0.9, 2.0),
    ),
    "adamw": (optim.AdamW, {"lr": 0.1, "weight_decay": 0.5, "eps": 0.1}, lambda: adam_limit(0.1, 0.9, 0.5)),
    "nadam": (optim.NAdam, {"lr": 0.02}, None),
    "nadam, coupled decay": (optim.NAdam, {"lr": 0.02, "betas": (0.8, 0.999), "weight_decay": 0.1}, None),
    "nadam, decoupled": (optim.NAdam, {"lr": 0.02, "weight_decay": 0.4, "decoupled_weight_decay": True}, None),
    "radam": (optim.RAdam, {"lr": 0.02}, lambda: adam_limit(0.02, 0.9)),
    "radam, coupled decay": (
        optim.RAdam,
        {"lr": 0.02, "betas": (0.5, 0.99), "weight_decay": 0.1},
        lambda: adam_limit(0.02, 0.5),
    ),
    "radam, decoupled": (
        optim.RAdam,
        {"lr": 0.02, "weight_decay": 0.4, "decoupled_weight_decay": True},
        lambda: adam_limit(0.02, 0.9, 0.4),
    ),
    "radam, which never adapts": (optim.RAdam, {"lr": 0.02, "betas": (0.9, 0.5)}, lambda: adam_limit(0.02, 0.9)),
    "adamax": (optim.Adamax, {"lr": 0.02}, lambda: adam_limit(0.02, 0.9)),
    "adamax, coupled decay": (optim.Adamax, {"lr": 0.02, "weight_decay": 0.3}, lambda: adam_limit(0.02, 0.9)),
    "rmsprop": (optim.RMSprop, {"lr": 0.01}, lambda: rmsprop_limit(0.01)),
    "rmsprop, momentum, decay": (
        optim.RMSprop,
        {"lr": 0.01, "momentum": 0.8, "weight_decay": 0.2},
        lambda: rmsprop_limit(0.01, 0.8),
    ),
    "rmsprop, centered": (optim.RMSprop, {"lr": 0.01, "centered": True}, lambda: rmsprop_limit(0.01)),
    "adagrad": (optim.Adagrad, {"lr": 0.2, "weight_decay": 0.3}, lambda: rmsprop_limit(0.2)),
    "adadelta": (optim.Adadelta, {"weight_decay": 0.2}, lambda: rmsprop_limit(1.0)),
    "asgd": (optim.ASGD, {"lr": 0.1}, lambda: asgd_limit(0.1)),
    "asgd, decay": (
        optim.ASGD,
        {"lr": 0.1, "lambd": 0.02, "alpha": 0.5, "weight_decay": 0.3},
        lambda: asgd_limit(0.1, 0.02, 0.5),
    ),
    "adagrad, lr decay": (
        optim.Adagrad,
        {"lr": 0.2, "lr_decay": 1e-3},
        lambda: rmsprop_limit(0.2 / (1 + 1e-3 * LATE)),
    ),
}


def late_optimizer(kind, settings):
    """An optimizer at step LATE, with second moments of its own choosing, and the preconditioner they make."""
    weight = torch.nn.Parameter(torch.tensor([1e-12, 1e-12], dtype=torch.float64))
    optimizer = kind([weight], foreach=False, **settings)
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    state = optimizer.state[weight]
    second = torch.tensor([0.25, 4.0], dtype=torch.float64)
    frozen = {}
    for key in ("exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum", "exp_inf"):
        if key in state:
            state[key].copy_(second)
            frozen[key] = second
    make_late(optimizer.param_groups[0], state)
    return optimizer, weight, frozen


def make_late(group, state):
    if "step" in state:
        state["step"].fill_(LATE)
    if "mu_product" in state:
        state["mu_product"].fill_(0.0)
    if "eta" in state:  # kept in float32 unless told otherwise
        state["eta"] = torch.tensor(asgd_step_size(group["lr"], group["lambd"], group["alpha"]), dtype=torch.float64)


def growth(optimizer, weight, frozen, curvature, steps):
    """The rate per step at which the optimizer's own code multiplies the weight, its second moments held still."""
    group = optimizer.param_groups[0]
    beta2 = group.get("betas", (0, 1))[1]
    decay = {"exp_avg_sq": beta2, "exp_inf": beta2, "square_avg": group.get("alpha", group.get("rho", 1.0))}
    state = optimizer.state[weight]
    with torch.no_grad():
        weight.fill_(1e-12)
    logs = []
    for step in range(steps):
        for key, value in frozen.items():
            state[key].copy_(value / decay.get(key, 1.0))
        make_late(group, state)
        weight.grad = (curvature * weight).detach()
        optimizer.step()
        with torch.no_grad():
            buffers = [weight] + [state[k] for k in ("momentum_buffer", "exp_avg", "grad_avg") if k in state]
            # Everything the update is linear in is rescaled together, so that weights stay far below the moments.
            size = float(weight.abs().max()) / 1e-12
            for tensor in buffers:
                tensor.div_(size)
        if step >= steps // 2:
            logs.append(torch.tensor(size).log())
    return float(torch.stack(logs).mean().exp())


def divisor_of(optimizer, weight):
    """What the register says that the gradient is divided by."""
    preconditioner = rule_of(type(optimizer), "linear_update").preconditioner
    return preconditioner(optimizer.param_groups[0], optimizer.state[weight]) if preconditioner else torch.ones(2)


@pytest.mark.parametrize("name", CASES)
def test_the_optimizers_own_code_turns_at_the_limit_to_1e_6(name):
    kind, options, closed = CASES[name]
    optimizer, weight, frozen = late_optimizer(kind, options)
    limit = stability_limit(optimizer).groups[0]
    if closed is not None:
        assert limit.upper == pytest.approx(closed(), rel=1e-9)
    divisor = divisor_of(optimizer, weight)
    below, above = (divisor * limit.upper * (1 + s * 1e-6) - limit.coupled_decay for s in (-1, 1))
    assert growth(optimizer, weight, frozen, below, 400) < 1
    assert growth(optimizer, weight, frozen, above, 400) > 1


@pytest.mark.parametrize("name", CASES)
def test_below_the_lower_limit_directions_grow(name):
    kind, options, _ = CASES[name]
    optimizer, weight, frozen = late_optimizer(kind, options)
    limit = stability_limit(optimizer).groups[0]
    expected = -limit.weight_decay if limit.decoupled else -optimizer.param_groups[0].get("lambd", 0.0)
    if kind is optim.NAdam:
        # NAdam's weights on gradient and momentum sum to 1 + mu(t+1) - mu(t), a little over 1 while mu still rises.
        now, ahead = (0.9 * (1 - 0.5 * 0.96 ** (t * 4e-3)) for t in (LATE + 1, LATE + 2))
        expected /= 1 + ahead - now
    assert limit.lower == pytest.approx(expected, abs=1e-9 * limit.upper)
    divisor = divisor_of(optimizer, weight)
    for sign in (-1, 1):
        curvature = divisor * (limit.lower + sign * 1e-3 * limit.upper) - limit.coupled_decay
        rate = growth(optimizer, weight, frozen, curvature, 400)
        assert (rate > 1) == (sign < 0)


@pytest.mark.parametrize("name", CASES)
def test_past_the_limit_weights_grow_by_the_amplification_factor(name):
    kind, options, _ = CASES[name]
    optimizer, weight, frozen = late_optimizer(kind, options)
    limit = stability_limit(optimizer).groups[0]
    # Far past it the largest eigenvalue is real, and after a few steps it is all that is left.
    curvature = divisor_of(optimizer, weight) * 3 * limit.upper - limit.coupled_decay
    expected = limit.update.amplification_factor(3 * limit.upper)
    assert growth(optimizer, weight, frozen, curvature, 60) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_the_preconditioner_is_what_the_gradient_is_divided_by(name):
    kind, options, _ = CASES[name]
    optimizer = late_optimizer(kind, options)[0]
    group = optimizer.param_groups[0]
    ends, gradient = [], torch.tensor([1e-9, -3e-9], dtype=torch.float64)
    for scale in (0, 1):
        taken = copy.deepcopy(optimizer)
        moved = taken.param_groups[0]["params"][0]
        if "grad_avg" in taken.state[moved]:
            taken.state[moved]["grad_avg"].fill_(0.3)
        moved.grad = scale * gradient
        taken.step()
        ends.append(moved.detach())
    gain = rule_of(kind, "linear_update").linear_update(group, LATE + 1).gain[0]
    divisor = divisor_of(taken, moved)
    torch.testing.assert_close(ends[1] - ends[0], gain * gradient / divisor, rtol=1e-6, atol=0)
    assert bool((divisor > 0).all())


def with_part(part, kinds=None):
    names = [name for name, (kind, _, _) in CASES.items() if rule_of(kind, part) and kind in (kinds or [kind])]
    return pytest.mark.parametrize("name", names)


# tests/optimizers/test_directions.py has the others.
@with_part("direction", (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad))
@pytest.mark.parametrize("ascent", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_direction_leads_bit_for_bit_where_the_optimizer_stepped(name, ascent, dtype):
    kind, options, _ = CASES[name]
    generator = torch.Generator().manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(n, generator=generator, dtype=dtype)) for n in (40, 300)]
    optimizer = kind(weights, foreach=False, maximize=ascent, **options)
    for _ in range(4):
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator, dtype=dtype)
        snapshot = Snapshot(optimizer, rule_of(kind, "direction"))
        optimizer.step()
        with torch.no_grad():
            (step,) = snapshot.steps()
            assert torch.equal(step.direction().applied(step.before), step.after)


def tiny_net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()


def trained(model, optimizer, steps, tangent=None):
    """Train by the optimizer's own code, and carry a tangent along where one is given."""
    weights = dict(model.named_parameters())
    for step in range(steps):
        generator = torch.Generator().manual_seed(100 + step)
        x, y = torch.randn(5, 3, generator=generator).double(), torch.randint(2, (5,), generator=generator)
        loss = torch.nn.functional.cross_entropy(model(x), y)
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        for weight, gradient in zip(weights.values(), gradients, strict=True):
            weight.grad = gradient.detach()

        def product(direction, gradients=gradients):
            with torch.enable_grad():
                return torch.autograd.grad(gradients, list(weights.values()), direction, retain_graph=True)

        if tangent is not None:
            tangent, _ = step_tangent(tangent, weights, optimizer, product)
        optimizer.step()
    return torch.cat([p.detach().reshape(-1) for p in weights.values()]), tangent


@with_part("tangent")
@pytest.mark.parametrize("ascent", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_the_tangent_is_the_derivative_of_training_itself(name, ascent, steps):
    # Central differences of the real torch.optim optimizer over all steps, buffers included.
    kind, options, _ = CASES[name]
    # Gentler than the limits' cases: Adam's kinks where a gradient passes 0 would need far smaller differences.
    options = (
        options | {"lr": 0.02, "maximize": ascent} | ({"eps": 1e-3} if "eps" in signature(kind).parameters else {})
    )
    model = tiny_net()
    tangent = init_tangent(dict(model.named_parameters()), seed=1)
    start, ends, h = copy.deepcopy(model), [], 1e-6
    if options.get("amsgrad"):
        with pytest.raises(LastbitError, match="amsgrad=False"):
            trained(model, kind(model.parameters(), **options), steps, tangent)
        return
    _, carried = trained(model, kind(model.parameters(), **options), steps, tangent)
    for sign in (1, -1):
        moved = copy.deepcopy(start)
        with torch.no_grad():
            for weight, delta in zip(moved.parameters(), tangent.direction, strict=True):
                weight.add_(delta, alpha=sign * h)
        ends.append(trained(moved, kind(moved.parameters(), **options), steps)[0])
    found = exp(carried.log_growth) * torch.cat([x.reshape(-1) for x in carried.direction])
    # Central differences: rounding 1e-16/1e-6 per step, and truncation h², thousands of times over near Adam's kinks.
    torch.testing.assert_close(found, (ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=2e-7)


REGISTERED = {name: rule for name, rule in registry._REGISTER if isinstance(name, str)}


def test_every_registered_optimizer_is_in_the_table():
    known = {name for name, rule in registry._REGISTER if isinstance(name, str) and rule.linear_update}
    assert {f"torch.optim:{kind.__name__}" for kind, _, _ in CASES.values()} == known


@pytest.mark.parametrize("name", [name for name, rule in REGISTERED.items() if rule.refused])
def test_a_refused_class_is_refused_with_its_reason_wherever_it_comes_from(name):
    module, _, class_name = name.partition(":")
    assert module == "*"

    class Theirs(optim.Optimizer):
        def step(self, closure=None):
            pass

    Theirs.__name__ = class_name
    kinds = [Theirs, type("Renamed", (Theirs,), {}), getattr(optim, class_name, Theirs)]
    for kind in kinds:
        optimizer = object.__new__(kind)
        with pytest.raises(LastbitError, match=f"has no stability limit: {REGISTERED[name].refused}, so its update"):
            stability_limit(optimizer)


@given(
    lr=st.floats(1e-6, 1e3),
    momentum=st.floats(0.0, 0.999),
    dampening=st.floats(0.0, 0.9),
    nesterov=st.booleans(),
)
@settings(deadline=None, max_examples=80)
def test_closed_forms_of_sgd_hold_everywhere(lr, momentum, dampening, nesterov):
    if nesterov and momentum > 0:
        options, expected = {"nesterov": True}, nesterov_limit(lr, momentum)
    else:
        options, expected = {"dampening": dampening}, sgd_limit(lr, momentum, dampening)
    optimizer = optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=momentum, **options)
    assert float(stability_limit(optimizer)) == pytest.approx(expected, rel=1e-7)


@given(lr=st.floats(1e-6, 1.0), beta=st.floats(0.0, 0.999), decay=st.floats(0.0, 1.9), step=st.integers(0, 500))
@settings(deadline=None, max_examples=80)
def test_closed_form_of_adamw_holds_at_every_step(lr, beta, decay, step):
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = optim.AdamW([weight], lr=lr, betas=(beta, 0.99), weight_decay=decay)
    optimizer.state[weight] = {"step": torch.tensor(float(step)), "exp_avg_sq": torch.ones(1)}
    assert float(stability_limit(optimizer)) == pytest.approx(adam_limit(lr, beta, decay, step + 1), rel=1e-6)


def test_a_group_that_does_not_move_has_no_limit():
    optimizer = optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.0, momentum=0.9)
    assert float(stability_limit(optimizer)) == inf
