"""Steps held at the stability limit: the step at the largest stable rate, and nothing else is touched."""

import io
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import lastbit as lb
from lastbit.core.errors import LastbitError
from lastbit.curvature import ModelLoss
from lastbit.optimizers import LinearUpdate, registry


class Valley(nn.Module):
    """`0.5 sum_i c_i w_i^2`, each coordinate in a layer of its own."""

    def __init__(self, *curvatures, start=1.0):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(1, 1, bias=False) for _ in curvatures)
        self.curvatures = curvatures
        for layer in self.layers:
            nn.init.constant_(layer.weight, start)
        self.double()

    def forward(self):
        return sum(0.5 * c * layer.weight.square().sum() for c, layer in zip(self.curvatures, self.layers, strict=True))

    @property
    def weights(self):
        return [layer.weight.item() for layer in self.layers]


VALLEY_LOSS = ModelLoss(lambda model, batch: model())
BATCH = torch.zeros(1, 1)


def walk(model, optimizer, steps, each=lambda: None):
    path = []
    for _ in range(steps):
        each()
        optimizer.zero_grad()
        model().backward()
        optimizer.step()
        path.append(model.weights)
    return path


def limited(optimizer, model, **options):
    return lb.remedies.step_limit(optimizer, model, VALLEY_LOSS, BATCH, **{"every": 1, "tol": 1e-10, **options})


def test_a_rate_of_3_on_curvature_1_becomes_2():
    model = Valley(1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=3.0)
    limit = limited(optimizer, model, every=4)
    path = walk(model, optimizer, 10)
    # w - 2 w = -w, from the first step on.
    assert path == [[pytest.approx((-1.0) ** (step + 1))] for step in range(10)]
    assert limit.stable_rates == {"(whole)": [pytest.approx(2.0)]}
    assert [record.step for record in limit.monitor.records] == [0, 4, 8]
    assert (limit.limited, limit.steps, optimizer.param_groups[0]["lr"]) == (10, 10, 3.0)
    assert limit.summary().startswith("10 steps of 10 steps limited, 3 measurements in ")
    limit.detach()
    assert walk(model, optimizer, 1) == [[pytest.approx(-2.0)]]


@settings(max_examples=20)
@given(st.floats(0.01, 100), st.floats(0.001, 1000), st.floats(0, 0.9))
def test_no_quadratic_grows(curvature, rate, decay):
    model = Valley(curvature)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, weight_decay=decay)
    with limited(optimizer, model, tol=1e-6):
        path = [1.0, *(abs(weight) for (weight,) in walk(model, optimizer, 3))]
    assert all(after <= before * (1 + 1e-5) for before, after in pairwise(path))


KINDS = {
    "sgd": lambda p: torch.optim.SGD(p, 3.0),
    "nesterov": lambda p: torch.optim.SGD(p, 3.0, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, 3.0, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, 3.0, weight_decay=0.005),
    "nadam": lambda p: torch.optim.NAdam(p, 3.0, weight_decay=0.005, decoupled_weight_decay=True),
    "radam": lambda p: torch.optim.RAdam(p, 3.0),
    "adamax": lambda p: torch.optim.Adamax(p, 3.0),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 3.0, momentum=0.5),
    "adagrad": lambda p: torch.optim.Adagrad(p, 3.0),
    "adadelta": lambda p: torch.optim.Adadelta(p, 50.0),
    "groups": lambda p: torch.optim.SGD([{"params": p[:1]}, {"params": p[1:], "lr": 2.0}], 3.0, momentum=0.5),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_limited_step_is_the_step_at_the_stable_rate(kind):
    """For every optimizer whose step is proportional to its rate: a twin takes that rate itself."""
    model, twin = Valley(1.0, 0.3), Valley(1.0, 0.3)
    optimizer, other = KINDS[kind](list(model.parameters())), KINDS[kind](list(twin.parameters()))
    lrs = [group["lr"] for group in other.param_groups]
    limit = limited(optimizer, model)
    for step in range(9):
        factor = 40 if step % 2 else 1
        for group, lr in zip(optimizer.param_groups, lrs, strict=True):
            group["lr"] = factor * lr
        path = walk(model, optimizer, 1)
        # In the first step there is a measurement only where no preconditioner has to be waited for.
        known = [record for record in limit.monitor.records if record.step <= step][-1:]
        for index, (group, lr) in enumerate(zip(other.param_groups, lrs, strict=True)):
            group["lr"] = min([factor * lr, *(record.lrs[index] / record.ratio for record in known)])
        torch.testing.assert_close(torch.tensor(path), torch.tensor(walk(twin, other, 1)), rtol=1e-9, atol=1e-12)
    assert limit.limited >= 3


def test_a_layer_within_its_limit_keeps_its_bits():
    steep, flat = Valley(1.0), Valley(0.1)
    both = Valley(1.0, 0.1)
    optimizer = torch.optim.SGD(both.parameters(), lr=3.0, momentum=0.3)
    with limited(optimizer, both, per_layer=True, every=2) as limit:
        path = walk(both, optimizer, 9)
    alone = walk(flat, torch.optim.SGD(flat.parameters(), lr=3.0, momentum=0.3), 9)
    assert [[weight] for _, weight in path] == alone
    assert limit.stable_rates == {"layers.0": [pytest.approx(2.6)], "layers.1": [pytest.approx(26.0)]}
    held = walk(steep, torch.optim.SGD(steep.parameters(), lr=2.6, momentum=0.3), 9)
    assert [[weight] for weight, _ in path] == [[pytest.approx(weight)] for (weight,) in held]
    assert limit.limited == 9


def test_a_schedule_goes_on_and_its_rate_is_what_is_limited():
    model = Valley(1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: [1.0, 1.9, 2.5, 4.0, 0.5][step % 5])
    limit = limited(optimizer, model, every=100)
    rates, factors, before = [], [], 1.0
    for _ in range(5):
        rates.append(optimizer.param_groups[0]["lr"])
        ((after,),) = walk(model, optimizer, 1)
        factors.append(after / before if before else 0.0)
        before = after
        schedule.step()
        if len(rates) == 1:
            nn.init.constant_(model.layers[0].weight, before := 1.0)
    # Measured once, at the rate of the first step.
    assert len(limit.monitor.records) == 1
    assert rates == [1.0, 1.9, 2.5, 4.0, 0.5]
    assert factors == [pytest.approx(1 - min(rate, 2.0), abs=1e-9) for rate in rates]
    assert limit.limited == 2


def digits(seed=0):
    torch.manual_seed(seed)
    return torch.randn(48, 6), torch.randint(3, (48,))


def network():
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def train(model, optimizer, start, stop, losses=None):
    """Every other step at ten times the rate."""
    inputs, targets = digits()
    for step in range(start, stop):
        optimizer.param_groups[0]["lr"] = optimizer.defaults["lr"] * (10 if step % 2 else 1)
        chosen = torch.randint(48, (16,))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs[chosen]), targets[chosen])
        loss.backward()
        optimizer.step()
        if losses is not None:
            losses.append(loss.item())


def held(optimizer, model, **options):
    options = {"every": 4, "per_layer": True, **options}
    return lb.remedies.step_limit(optimizer, model, nn.functional.cross_entropy, digits(), **options)


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("per_layer", [True, False])
def test_a_training_that_is_stable_keeps_its_bits(per_layer):
    ends = []
    for watched in (False, True):
        model, losses = network(), []
        optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.5)
        torch.manual_seed(7)
        if watched:
            with held(optimizer, model, per_layer=per_layer) as limit:
                train(model, optimizer, 0, 9, losses)
            assert limit.limited == 0
            assert [record.step for record in limit.monitor.records] == [0, 4, 8]
        else:
            train(model, optimizer, 0, 9, losses)
        ends.append((losses, model.state_dict(), torch.get_rng_state()))
    assert ends[0][0] == ends[1][0]
    assert equal(ends[0][1], ends[1][1])
    assert torch.equal(ends[0][2], ends[1][2])


@pytest.mark.parametrize("at", [5, 8])
@pytest.mark.parametrize("make", [lambda p: torch.optim.SGD(p, 1.0, 0.5), lambda p: torch.optim.AdamW(p, 0.5)])
def test_a_training_goes_on_from_the_middle_bit_for_bit(make, at):
    model = network()
    optimizer = make(model.parameters())
    through = held(optimizer, model)
    torch.manual_seed(7)
    train(model, optimizer, 0, at)
    disk = io.BytesIO()
    states = (model.state_dict(), optimizer.state_dict(), through.state_dict())
    torch.save({"states": states, "random": torch.get_rng_state()}, disk)
    train(model, optimizer, at, 13)
    expected = model.state_dict()
    assert through.limited > 1
    assert all(map(torch.isfinite, (tensor.sum() for tensor in expected.values())))

    disk.seek(0)
    saved = torch.load(disk, weights_only=True)
    model = network()
    optimizer = make(model.parameters())
    resumed = held(optimizer, model)
    for thing, state in zip((model, optimizer, resumed), saved["states"], strict=True):
        thing.load_state_dict(state)
    torch.set_rng_state(saved["random"])
    train(model, optimizer, at, 13)
    assert equal(model.state_dict(), expected)
    assert (resumed.limited, resumed.steps) == (through.limited, 13)
    assert resumed.stable_rates == through.stable_rates
    assert [one.step for one in resumed.monitor.records] == [s for s in (8, 12) if s > at]


def test_equal_trainings_stay_equal():
    ends = []
    for _ in range(2):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        torch.manual_seed(7)
        with held(optimizer, model):
            train(model, optimizer, 0, 9)
        ends.append(model.state_dict())
    assert equal(*ends)


@pytest.mark.parametrize("first", ["limit", "perturbation"])
def test_a_perturbation_sees_the_step_as_the_optimizer_made_it(first):
    """Whichever is attached first: the check of its direction would refuse a step that was limited already."""
    path = {}
    for perturbed in (False, True):
        model = Valley(1.0, 0.37, start=0.7).float()
        optimizer = torch.optim.SGD(model.parameters(), lr=3.1)
        if perturbed and first == "perturbation":
            lb.perturb_optimizer(optimizer, "rescale", k=3)
        limit = limited(optimizer, model, tol=1e-3)
        if perturbed and first == "limit":
            lb.perturb_optimizer(optimizer, "rescale", k=3)
        path[perturbed] = torch.tensor(walk(model, optimizer, 6))
        assert limit.limited == 6
    assert not torch.equal(path[True], path[False])
    torch.testing.assert_close(path[True], path[False], rtol=1e-5, atol=1e-6)


def test_a_step_that_raised_leaves_nothing_behind():
    model = Valley(1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=3.0)
    limit = limited(optimizer, model)
    with pytest.raises(ZeroDivisionError, match="division"):
        optimizer.step(lambda: 1 / 0)
    assert limit.steps == 0
    assert walk(model, optimizer, 2) == [[pytest.approx(-1.0)], [pytest.approx(1.0)]]
    assert limit.steps == 2


class Twice(torch.optim.SGD):
    def step(self, closure=None):
        return super().step(closure)


def test_a_step_within_a_step_is_one(monkeypatch):
    monkeypatch.setattr("lastbit.optimizers.registry._REGISTER", list(registry._REGISTER))
    registry.register(Twice, linear_update=lambda group, step: LinearUpdate([[1.0]], [-float(group["lr"])]))
    model = Valley(1.0)
    torch.optim.SGD(model.parameters(), lr=1.0)  # from then on its step has hooks too
    optimizer = Twice(model.parameters(), lr=3.0)
    limit = limited(optimizer, model)
    assert walk(model, optimizer, 2) == [[pytest.approx(-1.0)], [pytest.approx(1.0)]]
    assert (limit.steps, limit.limited) == (2, 2)


def test_a_skipped_step_is_none():
    model = Valley(1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=3.0, fused=True)
    limit = limited(optimizer, model)
    walk(model, optimizer, 1)
    optimizer.found_inf = torch.ones(())
    assert walk(model, optimizer, 1) == [[pytest.approx(-1.0)]]
    assert (limit.steps, limit.limited) == (1, 1)


def test_a_measurement_that_is_not_finite_leaves_the_limits():
    model = Valley(1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=3.0)
    limit = limited(optimizer, model)
    walk(model, optimizer, 1)
    before = limit.stable_rates
    nn.init.constant_(model.layers[0].weight, torch.nan)
    walk(model, optimizer, 1)
    assert limit.stable_rates == before


def test_a_rate_of_0_tells_no_limit():
    model = Valley(1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    limit = limited(optimizer, model)
    walk(model, optimizer, 1)
    assert limit.stable_rates == {"(whole)": [float("inf")]}
    optimizer.param_groups[0]["lr"] = 1.0
    walk(model, optimizer, 1)
    assert limit.limited == 0
    assert limit.stable_rates == {"(whole)": [pytest.approx(2.0)]}


def test_a_budget_stretches_the_interval():
    model = Valley(1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=3.0)
    with limited(optimizer, model, budget=1e-9) as limit:
        walk(model, optimizer, 30)
    assert [record.step for record in limit.monitor.records] == [0]
    assert limit.limited == 30
    assert limit.monitor.postponed > 20


def test_after_the_block_nothing_hooks_the_optimizer():
    model = Valley(1.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=3.0)
    with limited(optimizer, model) as limit:
        walk(model, optimizer, 2)
    limit.detach()
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def make(optimizer=None, **options):
    model = Valley(1.0, 0.1)
    return limited(optimizer or torch.optim.SGD(model.parameters(), lr=3.0), model, **options)


def state(**changes):
    limit = make(per_layer=True)
    walk(limit.monitor.model, limit.monitor.optimizer, 1)
    return limit.state_dict() | changes


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make(every=0), "every = 0: give the number of steps"),
        (lambda: make(budget=0.0), "budget = 0.0: give a share"),
        (lambda: make(tol=2), "tol = 2: give the relative residual"),
        (lambda: make(torch.optim.SGD(Valley(1.0).parameters(), lr=1.0)), "holds none of the model's 2"),
        (lambda: make(torch.optim.LBFGS(Valley(1.0).parameters())), "LBFGS has no stability limit"),
        (lambda: make("sgd"), "expected a torch.optim.Optimizer, got str"),
        (lambda: make().load_state_dict({"step": 3}), "the state of a step limit has the entries limited, lrs"),
        (lambda: make().load_state_dict(state()), r"has a limit of 'layers.0': this training limits \(whole\)"),
        (lambda: make().load_state_dict(state(lrs=[1.0, 2.0])), "rates of 2 parameter groups, the optimizer has 1"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(LastbitError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)
