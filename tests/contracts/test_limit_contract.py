"""Every registered optimizer's limit, against its own torch code run on a quadratic of known curvature."""

from math import inf

import pytest
import torch
import torch.optim as optim
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.curvature import stability_limit
from lastbit.curvature.limits.closed_forms import adam_limit, nesterov_limit, rmsprop_limit, sgd_limit
from lastbit.optimizers import registry

LATE = 10_000

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
    "rmsprop": (optim.RMSprop, {"lr": 0.01}, lambda: rmsprop_limit(0.01)),
    "rmsprop, momentum, decay": (
        optim.RMSprop,
        {"lr": 0.01, "momentum": 0.8, "weight_decay": 0.2},
        lambda: rmsprop_limit(0.01, 0.8),
    ),
    "rmsprop, centered": (optim.RMSprop, {"lr": 0.01, "centered": True}, lambda: rmsprop_limit(0.01)),
    "adagrad": (optim.Adagrad, {"lr": 0.2, "weight_decay": 0.3}, lambda: rmsprop_limit(0.2)),
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
    for key in ("exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum"):
        if key in state:
            state[key].copy_(second)
            frozen[key] = second
    if "step" in state:
        state["step"].fill_(LATE)
    if "mu_product" in state:
        state["mu_product"].fill_(0.0)
    return optimizer, weight, frozen


def growth(optimizer, weight, frozen, curvature, steps):
    """The rate per step at which the optimizer's own code multiplies the weight, its second moments held still."""
    group = optimizer.param_groups[0]
    decay = {"exp_avg_sq": group.get("betas", (0, 1))[1], "square_avg": group.get("alpha", 1.0)}
    state = optimizer.state[weight]
    with torch.no_grad():
        weight.fill_(1e-12)
    logs = []
    for step in range(steps):
        for key, value in frozen.items():
            state[key].copy_(value / decay.get(key, 1.0))
        if "step" in state:
            state["step"].fill_(LATE)
        if "mu_product" in state:
            state["mu_product"].fill_(0.0)
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


def preconditioner_of(optimizer, weight, frozen):
    group = optimizer.param_groups[0]
    if not frozen:
        return torch.ones(2, dtype=torch.float64)
    if "max_exp_avg_sq" in frozen or "exp_avg_sq" in frozen:
        root = (next(iter(frozen.values())) / (1 - group["betas"][1] ** (LATE + 1))).sqrt()
    else:
        root = next(iter(frozen.values())).sqrt()
    return root + group["eps"]


@pytest.mark.parametrize("name", CASES)
def test_the_optimizers_own_code_turns_at_the_limit_to_1e_6(name):
    kind, options, closed = CASES[name]
    optimizer, weight, frozen = late_optimizer(kind, options)
    limit = stability_limit(optimizer).groups[0]
    if closed is not None:
        assert limit.upper == pytest.approx(closed(), rel=1e-9)
    divisor = preconditioner_of(optimizer, weight, frozen)
    below, above = (divisor * limit.upper * (1 + s * 1e-6) - limit.coupled_decay for s in (-1, 1))
    assert growth(optimizer, weight, frozen, below, 400) < 1
    assert growth(optimizer, weight, frozen, above, 400) > 1


@pytest.mark.parametrize("name", CASES)
def test_below_the_lower_limit_directions_grow(name):
    kind, options, _ = CASES[name]
    optimizer, weight, frozen = late_optimizer(kind, options)
    limit = stability_limit(optimizer).groups[0]
    expected = -limit.weight_decay if limit.decoupled else 0.0
    if kind is optim.NAdam:
        # NAdam's weights on gradient and momentum sum to 1 + mu(t+1) - mu(t), a little over 1 while mu still rises.
        now, ahead = (0.9 * (1 - 0.5 * 0.96 ** (t * 4e-3)) for t in (LATE + 1, LATE + 2))
        expected /= 1 + ahead - now
    assert limit.lower == pytest.approx(expected, abs=1e-9 * limit.upper)
    divisor = preconditioner_of(optimizer, weight, frozen)
    for sign in (-1, 1):
        curvature = divisor * (limit.lower + sign * 1e-3 * limit.upper) - limit.coupled_decay
        rate = growth(optimizer, weight, frozen, curvature, 400)
        assert (rate > 1) == (sign < 0)


def test_every_rule_of_torch_is_in_the_table():
    known = {name for name, rule in registry._REGISTER if isinstance(name, str) and rule.linear_update is not None}
    assert {f"torch.optim:{kind.__name__}" for kind, _, _ in CASES.values()} == known


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
