"""The effective Hessian and the stable learning rates, against dense matrices and simulated optimizers."""

from math import inf

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.curvature import (
    EffectiveHessian,
    HessianOperator,
    ModelLoss,
    stability_limit,
    stable_learning_rates,
)
from lastbit.optimizers import LinearUpdate, register

FLOAT = torch.float64
optim = torch.optim


class Quadratic(nn.Module):
    """Weights `a` and `b` with the loss `1/2 w^T H w` of a coupled matrix."""

    def __init__(self, matrix):
        super().__init__()
        half = len(matrix) // 2
        self.a = nn.Parameter(torch.full((half,), 1e-3, dtype=FLOAT))
        self.b = nn.Parameter(torch.full((len(matrix) - half,), -1e-3, dtype=FLOAT))
        self.register_buffer("matrix", matrix)

    def forward(self, x):
        w = torch.cat([self.a, self.b])
        return 0.5 * w @ self.matrix @ w


LOSS = ModelLoss(lambda model, batch: model(batch))
BATCH = torch.zeros(1, 1)


def quadratic(low=0.5):
    rng = np.random.default_rng(2)
    basis, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    matrix = basis @ np.diag([low, 1.0, 2.0, 3.0, 5.0, 8.0]) @ basis.T
    return Quadratic(torch.tensor((matrix + matrix.T) / 2, dtype=FLOAT))


def stepped(optimizer, model, steps=1):
    for _ in range(steps):
        optimizer.zero_grad()
        model(BATCH).backward()
        optimizer.step()
    return optimizer


def grows(optimizer, model, steps=600):
    """Whether the optimizer's own code blows the quadratic up, its second moments held still."""
    held = {p: {k: v.clone() for k, v in s.items() if k.endswith("_sq")} for p, s in optimizer.state.items()}
    with torch.no_grad():
        for p in optimizer.state or model.parameters():
            p.copy_(1e-9 * torch.randn(p.shape, dtype=FLOAT, generator=torch.Generator().manual_seed(0)))
    for state in optimizer.state.values():
        if "exp_avg" in state:
            state["exp_avg"].zero_()
    logs = []
    for step in range(steps):
        for p, tensors in held.items():
            beta = optimizer.param_groups[0]["betas"][1]
            for key, value in tensors.items():
                optimizer.state[p][key].copy_(value / beta)
            optimizer.state[p]["step"].fill_(100_000)
        stepped(optimizer, model)
        with torch.no_grad():
            size = max(float(p.abs().max()) for p in model.parameters()) / 1e-9
            buffers = [s[k] for s in optimizer.state.values() for k in ("momentum_buffer", "exp_avg") if k in s]
            for tensor in [*model.parameters(), *buffers]:
                tensor.div_(size)
        if step > steps // 2:
            logs.append(np.log(size))
    return np.mean(logs) > 0


CASES = {
    "gradient descent": (optim.SGD, {"lr": 0.1}, {}),
    "heavy ball": (optim.SGD, {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.3}, {}),
    "nesterov": (optim.SGD, {"lr": 0.1, "momentum": 0.8, "nesterov": True}, {}),
    "two rates": (optim.SGD, {"lr": 0.1}, {"lr": 0.35}),
    "two rates and momenta": (optim.SGD, {"lr": 0.1, "momentum": 0.9}, {"lr": 0.35, "momentum": 0.3}),
    "two decays": (optim.SGD, {"lr": 0.1, "weight_decay": 2.0}, {"weight_decay": 0.0}),
    "adam": (optim.Adam, {"lr": 0.1}, {}),
    "adam, coupled decay": (optim.Adam, {"lr": 0.1, "weight_decay": 0.5}, {}),
    "adamw": (optim.AdamW, {"lr": 0.1, "weight_decay": 3.0}, {}),
    "adamw, two groups": (optim.AdamW, {"lr": 0.1, "weight_decay": 3.0}, {"lr": 0.02, "weight_decay": 0.0}),
}


def built(name, factor=1.0):
    kind, options, second = CASES[name]
    model = quadratic()
    groups = [{"params": [model.a]}, {"params": [model.b], **second}]
    optimizer = kind(groups if second else model.parameters(), **options)
    if kind is not optim.SGD:
        stepped(optimizer, model)
        for scale, state in zip((1.0, 3.0), optimizer.state.values(), strict=True):
            state["exp_avg_sq"].copy_(scale * torch.linspace(0.5, 2, 3, dtype=FLOAT))
            state["step"].fill_(100_000)
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * factor
    return model, optimizer


QUICK = ("heavy ball", "two rates and momenta", "adamw, two groups")


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in CASES])
def test_the_stable_learning_rate_is_where_training_turns(name):
    model, optimizer = built(name)
    whole = stable_learning_rates(model, LOSS, BATCH, optimizer, tol=1e-9).whole
    assert whole.converged
    for scale, expected in ((0.995, False), (1.005, True)):
        assert grows(optimizer=(pair := built(name, whole.lr_factor * scale))[1], model=pair[0]) == expected
    assert (whole.ratio > 1) == (whole.lr_factor < 1)


def test_the_effective_hessian_is_the_dense_one():
    model, optimizer = built("adam, coupled decay")
    operator = EffectiveHessian(HessianOperator(model, LOSS, BATCH), model, optimizer)
    divisor = torch.cat([optimizer.state[p]["exp_avg_sq"] for p in (model.a, model.b)]).sqrt() + 1e-8
    scale = torch.diag(divisor.rsqrt())
    shifted = model.matrix + 0.5 * torch.eye(6, dtype=FLOAT)
    torch.testing.assert_close(operator.dense(), scale @ shifted @ scale, rtol=1e-9, atol=1e-12)
    assert operator.limit == pytest.approx(380.0)
    vector = torch.randn(6, dtype=FLOAT)
    assert operator.decay_along(vector) == pytest.approx(float(0.5 * (vector**2 / divisor).sum()))
    torch.testing.assert_close(operator.coordinates(operator.pull_back(vector)), vector)


@pytest.mark.parametrize("by", ["module", "tensor", "group"])
def test_layers_are_the_diagonal_blocks(by):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(FLOAT)
    batch = torch.randn(20, 4, dtype=FLOAT), torch.randint(0, 3, (20,))
    optimizer = optim.SGD([{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.4}], lr=0.1)
    table = stable_learning_rates(model, F.cross_entropy, batch, optimizer, by=by, tol=1e-8)
    operator = HessianOperator(model, F.cross_entropy, batch)
    dense = operator.dense()
    places = dict(zip(operator.space.names, operator.space.unflatten(torch.arange(operator.size)), strict=True))
    names = {
        "module": {"0": ("0.weight", "0.bias"), "2": ("2.weight", "2.bias")},
        "tensor": {n: (n,) for n in operator.space.names},
        "group": {"group 0": ("0.weight", "0.bias"), "group 1": ("2.weight", "2.bias")},
    }[by]
    assert [row.name for row in table.layers] == list(names)
    for row in table.layers:
        where = torch.cat([places[name].flatten() for name in names[row.name]])
        spectrum = torch.linalg.eigvalsh(dense[where][:, where])
        assert row.sharpness == pytest.approx(float(spectrum[-1]), rel=1e-6)
        assert row.smallest == pytest.approx(float(spectrum[0]), abs=1e-6)
        assert row.max_lr == pytest.approx(2 / float(spectrum[-1]), rel=1e-6)
        assert row.ratio == pytest.approx(row.lr * float(spectrum[-1]) / 2, rel=1e-6)
    scale = torch.ones(operator.size, dtype=FLOAT)
    for name in ("2.weight", "2.bias"):
        scale[places[name]] = 4.0
    whole = torch.linalg.eigvalsh(scale.sqrt()[:, None] * dense * scale.sqrt())[-1] * 0.1 / 2
    assert table.whole.ratio == pytest.approx(float(whole), rel=1e-6)
    assert table.whole.lr is None
    assert table.whole.max_lr is None
    assert max(row.ratio for row in table.layers) <= table.whole.ratio * (1 + 1e-9)
    assert str(table).count("\n") == len(names) + 1


@pytest.mark.parametrize("kind", ["sgd", *(pytest.param(k, marks=pytest.mark.slow) for k in ("adam", "adamw"))])
def test_the_weight_decay_interval_is_where_training_turns(kind):
    make = {
        "sgd": lambda m, a: optim.SGD(m.parameters(), lr=0.15, weight_decay=a),
        "adam": lambda m, a: optim.Adam(m.parameters(), lr=1.0, weight_decay=a),
        "adamw": lambda m, a: optim.AdamW(m.parameters(), lr=1.0, weight_decay=a),
    }[kind]

    def case(alpha):
        model = quadratic(low=-0.4)
        optimizer = make(model, alpha)
        if kind != "sgd":
            stepped(optimizer, model)
            for scale, state in zip((1.0, 3.0), optimizer.state.values(), strict=True):
                state["exp_avg_sq"].copy_(scale * torch.linspace(0.5, 2, 3, dtype=FLOAT))
                state["step"].fill_(100_000)
        return model, optimizer

    model, optimizer = case(0.2)
    low, high = stable_learning_rates(model, LOSS, BATCH, optimizer, tol=1e-9).whole.decay_interval
    assert 0 < low < high
    turns = [(low * 0.99, True), (low * 1.01, False), (high * 0.99, False), (high * 1.01, True)]
    for alpha, expected in turns:
        model, optimizer = case(alpha)
        assert grows(optimizer, model) == expected, (alpha, low, high)


def test_past_the_limit_no_weight_decay_helps():
    model = quadratic()
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    table = stable_learning_rates(model, LOSS, BATCH, optimizer)
    low, high = table.whole.decay_interval
    assert high < low
    assert table.whole.ratio == pytest.approx(2.0, rel=1e-3)
    assert "none" in str(table)


def test_a_schedule_and_a_zero_rate_are_read_live():
    model = quadratic()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    schedule = optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    assert float(stability_limit(optimizer)) == pytest.approx(20)
    stepped(optimizer, model)
    schedule.step()
    assert float(stability_limit(optimizer)) == pytest.approx(40)
    optimizer.param_groups[0]["lr"] = 0.0
    whole = stable_learning_rates(model, LOSS, BATCH, optimizer).whole
    assert (whole.limit, whole.ratio, whole.lr_factor) == (inf, 0.0, inf)
    assert whole.max_lr == pytest.approx(0.25, rel=1e-3)


def test_parameters_outside_the_optimizer_are_left_out():
    model = quadratic()
    table = stable_learning_rates(model, LOSS, BATCH, optim.SGD([model.b], lr=0.1), tol=1e-8)
    expected = torch.linalg.eigvalsh(model.matrix[3:, 3:])[-1]
    assert table.whole.sharpness == pytest.approx(float(expected), rel=1e-6)
    assert table.whole.size == 3


class Lion(optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        pass


class Scaled(optim.SGD):
    """Gradient descent with twice the rate: another `step`, so SGD's limit must not be taken for it."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.add_(p.grad, alpha=-2 * group["lr"])


class Named(optim.SGD):
    """A subclass that steps by SGD's own code."""


def test_a_bias_before_batch_normalisation_has_no_curvature_and_costs_few_products():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.Flatten(), nn.Linear(64, 3))
    batch = torch.randn(20, 1, 6, 6), torch.randint(0, 3, (20,))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    rows = stable_learning_rates(model, F.cross_entropy, batch, optimizer, by="tensor").layers
    bias = rows[1]
    # Exactly 0; what the products hold is rounding of the other layers' curvature.
    assert abs(bias.sharpness) < 1e-6 * max(row.sharpness for row in rows)
    assert bias.converged
    assert bias.products < 10


def test_a_rule_that_does_not_do_is_one_clear_line():
    class Half(optim.SGD):
        pass

    optimizer = Half([nn.Parameter(torch.zeros(2))], lr=0.1)
    with pytest.raises(LastbitError, match="linear_update of Half is a str"):
        register(Half, linear_update="half")
    register(Half, linear_update=lambda group, step: None)
    with pytest.raises(LastbitError, match="returned a NoneType: return LinearUpdate"):
        stability_limit(optimizer)
    for free, gain in (([[1.0, 2.0], [1.0]], [1.0, 1.0]), ([], []), (1.0, [1.0]), ([["a"]], [1.0])):
        with pytest.raises(LastbitError, match="linear update"):
            LinearUpdate(free, gain)
    model = nn.Linear(2, 1)
    batch = torch.ones(3, 2), torch.ones(3, 1)
    with pytest.raises(LastbitError, match=r"expected a torch.optim.Optimizer, got tuple"):
        stable_learning_rates(model, F.mse_loss, optim.SGD(model.parameters(), lr=0.1), batch)


def test_unknown_optimizers_are_refused_until_registered():
    model = quadratic()
    assert float(stability_limit(Named(model.parameters(), lr=0.1))) == pytest.approx(20)
    scaled = Scaled(model.parameters(), lr=0.1)
    with pytest.raises(
        LastbitError, match=r"no linear update is known for .* Scaled .*register\(Scaled, linear_update="
    ):
        stability_limit(scaled)
    register(Scaled, linear_update=lambda group, step: LinearUpdate(free=[[1.0]], gain=[-2 * group["lr"]]))
    assert float(stability_limit(scaled)) == pytest.approx(10)


def test_bad_input_is_one_clear_line():
    model, other = quadratic(), quadratic()
    sgd = optim.SGD(model.parameters(), lr=0.1)
    cases = [
        (
            lambda: stability_limit(Lion(model.parameters(), lr=0.1)),
            "Lion has no stability limit: it steps by the sign",
        ),
        (lambda: stability_limit(optim.Rprop(model.parameters())), "Rprop has no stability limit"),
        (lambda: stability_limit(optim.SGD(model.parameters(), lr=0.1, maximize=True)), "maximize=True"),
        (lambda: stability_limit("sgd"), "expected a torch.optim.Optimizer, got str"),
        (
            lambda: stable_learning_rates(model, LOSS, BATCH, optim.SGD(other.parameters(), lr=0.1)),
            "holds none of the model's 2 trainable parameters",
        ),
        (
            lambda: stable_learning_rates(model, LOSS, BATCH, optim.Adam(model.parameters())),
            "Adam has taken no step yet",
        ),
        (lambda: stable_learning_rates(model, LOSS, BATCH, sgd, by="layer"), "unknown by 'layer'"),
        (
            lambda: EffectiveHessian(HessianOperator(model, LOSS, BATCH), model, optim.SGD([model.a], lr=0.1)),
            "does not hold parameter 'b'",
        ),
        (lambda: LinearUpdate([[1.0]], [0.1, 0.2]), "needs free"),
        (lambda: LinearUpdate([[np.nan]], [0.1]), "must be finite"),
        (
            lambda: register("Lion", linear_update=lambda group, step: None),
            "its name as in .torch.optim:Adam., got .Lion",
        ),
    ]
    for call, message in cases:
        with pytest.raises(LastbitError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    sgd.param_groups[0]["lr"] = float("nan")
    with pytest.raises(LastbitError, match="learning rate of parameter group 0 is nan"):
        stability_limit(sgd)
