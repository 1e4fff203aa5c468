"""The live monitor: what it records, that it leaves no trace, and what it may spend."""

from itertools import pairwise
from math import isnan

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.curvature import HessianOperator, ModelLoss, StabilityMonitor
from lastbit.curvature.budget import TimeBudget


def half_squared_error(outputs, targets):
    return 0.5 * (outputs - targets).square().sum(1).mean()


def digits():
    data = load_digits()
    inputs = torch.tensor(data.data[:600] / 16, dtype=torch.float32)
    return (inputs - inputs.mean()) / inputs.std(), F.one_hot(torch.tensor(data.target[:600]), 10).float()


def network(norm=False, seed=0):
    torch.manual_seed(seed)
    layers = [nn.Linear(64, 6), *([nn.BatchNorm1d(6), nn.Dropout(0.2)] if norm else []), nn.Tanh(), nn.Linear(6, 10)]
    return nn.Sequential(*layers)


def train(model, optimizer, batch, steps, each=lambda: None):
    for _ in range(steps):
        optimizer.zero_grad()
        half_squared_error(model(batch[0]), batch[1]).backward()
        optimizer.step()
        each()


@pytest.mark.parametrize("hooked", [True, False])
def test_training_goes_on_bit_for_bit_as_if_it_had_not_been_watched(hooked):
    batch = digits()
    ends = []
    for watched in (False, True):
        model = network(norm=True)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        torch.manual_seed(5)
        if not watched:
            train(model, optimizer, batch, 9)
        else:
            monitor = StabilityMonitor(
                model, optimizer, half_squared_error, batch, every=3, budget=None, per_layer=True, growing=2
            )
            if hooked:
                with monitor:
                    train(model, optimizer, batch, 9)
            else:
                train(model, optimizer, batch, 9, monitor.step)
            assert [record.step for record in monitor.records] == [3, 6, 9]
        ends.append([v.clone() for v in model.state_dict().values()] + [p.grad.clone() for p in model.parameters()])
        ends[-1].append(torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_a_record_holds_what_dense_matrices_say():
    batch = tuple(t.double() for t in digits())
    model = network().double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5, weight_decay=0.02)
    seen = []
    monitor = StabilityMonitor(
        model,
        optimizer,
        half_squared_error,
        batch,
        every=20,
        budget=None,
        tol=1e-6,
        per_layer=True,
        sinks=[seen.append],
    )
    flats = []
    train(
        model,
        optimizer,
        batch,
        20,
        lambda: (flats.append(nn.utils.parameters_to_vector(model.parameters()).detach()), monitor.step()),
    )
    (record,) = monitor.records
    assert seen == [record]
    assert monitor.latest is record
    hessian = HessianOperator(model, half_squared_error, batch)
    values, vectors = torch.linalg.eigh(hessian.dense())
    assert record.sharpness == pytest.approx(float(values[-1]), rel=1e-6)
    assert record.limit == pytest.approx(3.0 / 0.1 - 0.02)
    assert record.ratio == pytest.approx((float(values[-1]) + 0.02) / 30, rel=1e-6)
    assert record.smallest == pytest.approx(float(values[0]), abs=1e-4)
    assert record.growing == int(values[0] < -0.02)
    moved = flats[-1] - flats[-2]
    assert record.alignment == pytest.approx(abs(float(moved.dot(vectors[:, -1]) / moved.norm())), rel=1e-3, abs=1e-6)
    assert record.loss == pytest.approx(float(half_squared_error(model(batch[0]), batch[1]).detach()))
    assert record.converged
    assert record.residual <= 1e-6
    assert record.lrs == (0.1,)
    for name, ratio in record.layers.items():
        block = hessian.block([f"{name}.weight", f"{name}.bias"])
        assert ratio == pytest.approx((float(torch.linalg.eigvalsh(block.dense())[-1]) + 0.02) / 30, rel=1e-5)
    assert list(record.layers) == ["0", "2"]


SIGNS = torch.tensor([3.0, 1.0, -1.0, -2.0])


@pytest.mark.parametrize(
    ("make", "growing"),
    [
        (lambda p: torch.optim.SGD(p, lr=1e-3), 2),
        (lambda p: torch.optim.SGD(p, lr=1e-3, weight_decay=1.5), 1),
        (lambda p: torch.optim.SGD(p, lr=1e-3, weight_decay=2.5), 0),
        (lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=0.0), 2),
        (lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=1.5), 1),
        (lambda p: torch.optim.AdamW([{"params": p, "weight_decay": 2.5}], lr=1e-3), 0),
    ],
)
def test_growing_directions_are_those_below_minus_weight_decay(make, growing):
    """A saddle; Adam's second moments are set to 1, so that its preconditioner is."""
    model = nn.Linear(4, 1, bias=False)
    loss_fn = ModelLoss(lambda model, batch: 0.5 * (batch * model.weight.square()).sum())
    optimizer = make(list(model.parameters()))
    batch = SIGNS[None]
    loss_fn(model, batch).backward()
    optimizer.step()
    for state in optimizer.state.values():
        if "exp_avg_sq" in state:
            state["exp_avg_sq"].fill_(1.0)
            state["step"].fill_(1_000_000)
    monitor = StabilityMonitor(model, optimizer, loss_fn, batch, every=1, budget=None, growing=2, tol=1e-5)
    record = monitor.step()
    assert record.growing == growing
    assert record.smallest == pytest.approx(-2.0, rel=1e-4)
    assert record.sharpness == pytest.approx(3.0, rel=1e-4)


def test_groups_with_different_decoupled_decay_grow_by_their_own():
    model = Saddle()
    optimizer = torch.optim.AdamW(
        [{"params": [model.a], "weight_decay": 0.0}, {"params": [model.b]}], lr=1e-3, weight_decay=9.0
    )
    loss_fn = ModelLoss(lambda model, batch: model())
    model().backward()
    optimizer.step()
    for state in optimizer.state.values():
        state["exp_avg_sq"].fill_(1.0)
        state["step"].fill_(1_000_000)
    monitor = StabilityMonitor(model, optimizer, loss_fn, torch.zeros(1, 1), every=1, budget=None, growing=2, tol=1e-5)
    # Only the direction of `a` grows: that of `b` is steeper, but decay holds it.
    assert monitor.step().growing == 1


class Saddle(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor([1.0, 1.0, 1.0]))
        self.b = nn.Parameter(torch.tensor([1.0, 1.0]))

    def forward(self):
        curvature_a, curvature_b = torch.tensor([2.0, 1.0, -1.0]), torch.tensor([3.0, -4.0])
        return 0.5 * (curvature_a * self.a**2).sum() + 0.5 * (curvature_b * self.b**2).sum()


def test_gradient_descent_rises_to_the_edge_of_stability_and_stays():
    batch = digits()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    monitor = StabilityMonitor(model, optimizer, half_squared_error, batch, every=100, budget=None, growing=0)
    with monitor:
        train(model, optimizer, batch, 1500)
    ratios = np.array([record.ratio for record in monitor.records])
    assert all(record.converged for record in monitor.records)
    assert monitor.records[-1].limit == pytest.approx(10)
    # Full-batch gradient descent hovers a little above 2/lr here: within 16% from the first record on,
    # and within 5% on average over the last third.
    assert (np.abs(ratios - 1) < 0.16).all()
    assert abs(ratios[-5:].mean() - 1) < 0.05


def test_a_run_that_diverges_gives_a_record_and_goes_on():
    batch = digits()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = StabilityMonitor(model, optimizer, half_squared_error, batch, every=1, budget=None)
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    record = monitor.step()
    assert record.status == RunStatus.DIVERGED
    assert isnan(record.sharpness)
    assert not record.converged


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("cost", [0.5, 5.0, 100.0])
def test_the_interval_stretches_to_keep_the_share(share, cost):
    clock = Clock()
    budget = TimeBudget(10, share, clock)
    budget.expected = cost
    steps = []
    for step in range(1, 20_001):
        clock.now += 1.0
        if budget.allows(step):
            clock.now += cost
            budget.measured(step, cost)
            steps.append(step)
        else:
            budget.passed(step)
        # The first measurement alone is made whatever it costs.
        assert len(steps) == 1 or budget.spent <= share * budget.training + 1e-9
    assert budget.training == pytest.approx(20_000)
    assert steps[0] == 10
    expected = max(10, cost / share)
    # Each tenth step after a measurement asks for another.
    assert budget.postponed == sum((after - before - 1) // 10 for before, after in pairwise([*steps, 20_001]))
    assert np.diff(steps[1:]).mean() == pytest.approx(expected, rel=0.06)


def test_without_a_bound_every_means_every():
    clock = Clock()
    budget = TimeBudget(7, None, clock)
    hits = []
    for step in range(1, 50):
        if budget.allows(step):
            budget.measured(step, 1e9)
            hits.append(step)
    assert hits == [7, 14, 21, 28, 35, 42, 49]


def test_time_before_the_first_step_is_no_training():
    clock = Clock()
    budget = TimeBudget(1, 0.1, clock)
    budget.measured(0, 2.0)
    budget.expected = 0.0
    clock.now += 3600.0
    budget.start()
    clock.now += 15.0
    assert budget.training == pytest.approx(15.0)
    assert not budget.allows(1)
    clock.now += 5.0
    assert budget.allows(1)


@pytest.mark.parametrize(("every", "first"), [(100, 10), (10, 10), (3, 3)])
def test_the_first_measurement_is_made_by_step_10_whatever_it_costs(every, first):
    clock = Clock()
    budget = TimeBudget(every, 1e-9, clock)
    budget.expected = 1e9
    assert next(step for step in range(1, 200) if budget.allows(step)) == first
    budget.measured(first, 1e9)
    clock.now += 2e9
    assert not any(budget.allows(step) for step in range(first + 1, 400))


def test_the_first_step_starts_the_clock():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = StabilityMonitor(model, optimizer, half_squared_error, digits(), every=1, budget=1e-6)
    # An hour between building the monitor and training.
    monitor._budget._begin -= 3600.0
    train(model, optimizer, digits(), 3, monitor.step)
    assert [record.step for record in monitor.records] == [1]
    assert monitor.postponed == 2
    assert monitor._budget.training < 60


def test_a_block_too_short_for_a_measurement_is_measured_at_its_end():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with StabilityMonitor(model, optimizer, half_squared_error, digits(), every=100, budget=None) as monitor:
        train(model, optimizer, digits(), 3)
    assert [record.step for record in monitor.records] == [3]
    assert monitor.postponed == 0
    monitor = StabilityMonitor(model, optimizer, half_squared_error, digits(), every=100, budget=None)
    with pytest.raises(ZeroDivisionError, match="division"), monitor:
        train(model, optimizer, digits(), 3, lambda: 1 / 0)
    assert not monitor.records


def test_weights_that_are_unfrozen_while_watched_are_measured_from_then_on():
    batch, model = digits(), network()
    model[0].weight.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = StabilityMonitor(model, optimizer, half_squared_error, batch, every=1, budget=None, per_layer=True)
    train(model, optimizer, batch, 2, monitor.step)
    held = monitor.latest.layers["0"]
    model[0].weight.requires_grad_(True)
    train(model, optimizer, batch, 2, monitor.step)
    assert [record.converged for record in monitor.records] == [True] * 4
    assert monitor.latest.layers["0"] > held


def lazy():
    model = nn.LazyLinear(2)
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def test_bad_input_is_one_clear_line():
    batch = digits()
    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)

    def monitor(model=model, optimizer=sgd, loss_fn=half_squared_error, batch=batch, **options):
        return StabilityMonitor(model, optimizer, loss_fn, batch, **options)

    broken = network()
    with torch.no_grad():
        broken[0].bias[3] = torch.inf
    cases = [
        (lambda: monitor(every=0), "every = 0"),
        (lambda: monitor(budget=0.0), "budget = 0.0"),
        (lambda: monitor(budget="much"), "budget = 'much'"),
        (lambda: monitor(growing=-1), "growing = -1"),
        (lambda: monitor(growing=300), "growing = 300: give at most half of the 460 parameters"),
        (lambda: monitor(tol=2.0), "tol = 2.0"),
        (lambda: monitor(tol="fine"), "tol = 'fine'"),
        (lambda: monitor(sinks=print), r"sinks=\[print\]"),
        (lambda: monitor(sinks=[3]), r"sinks = \[3\]"),
        (lambda: monitor(model=print), "expected a torch.nn.Module, got builtin"),
        (lambda: monitor(loss_fn="mse"), "the loss is a str"),
        (lambda: monitor(model=network().requires_grad_(False)), "no trainable parameter"),
        (lambda: monitor(*lazy()), "'weight' has no shape yet"),
        (lambda: monitor(optimizer=torch.optim.SGD(network().parameters(), lr=0.1)), "holds none of the model's"),
        (lambda: monitor(optimizer=torch.optim.Rprop(model.parameters())), "sign of the gradient"),
        (lambda: monitor(batch=(batch[0][:0], batch[1][:0])), "0 examples"),
        (lambda: monitor(loss_fn=lambda z, y: half_squared_error(z.detach(), y)), "carries no gradient"),
        (
            lambda: monitor(model=broken, optimizer=torch.optim.SGD(broken.parameters(), lr=0.1)),
            "'0.bias' holds 1 NaN or inf",
        ),
    ]
    for call, message in cases:
        with pytest.raises(LastbitError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    with monitor() as entered:
        for again in (entered.step, entered.__enter__):
            with pytest.raises(LastbitError, match="hooks the optimizer already"):
                again()
    assert not sgd._optimizer_step_post_hooks


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_it_says_what_it_says_on_a_processor_and_leaves_no_trace(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        found, ends = {}, []
        for device, watched in (("cpu", True), ("cuda", True), ("cuda", False)):
            batch = tuple(part.double().to(device) for part in digits())
            model = network().double().to(device)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            monitor = StabilityMonitor(
                model, optimizer, half_squared_error, batch, every=4, budget=None, per_layer=True, tol=1e-6
            )
            train(model, optimizer, batch, 12, *([monitor.step] if watched else []))
            found[device, watched] = monitor.records
            if device == "cuda":
                ends.append([tensor.clone() for tensor in model.state_dict().values()])
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))
    there, here = found["cuda", True], found["cpu", True]
    assert [one.step for one in there] == [4, 8, 12]
    for one, other in zip(there, here, strict=True):
        assert one.sharpness == pytest.approx(other.sharpness, rel=1e-5)
        assert one.layers == pytest.approx(other.layers, rel=1e-4)


def test_measurements_after_a_resume_are_those_of_one_training():
    """The vectors that a measurement starts from are part of the state: its last bits depend on them."""
    batch, found = digits(), []
    for resumed in (False, True):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        settings = {"every": 4, "budget": None, "per_layer": True}
        monitor = StabilityMonitor(model, optimizer, half_squared_error, batch, **settings)
        train(model, optimizer, batch, 6, monitor.step)
        if resumed:
            state = monitor.state_dict()
            monitor = StabilityMonitor(model, optimizer, half_squared_error, batch, **settings)
            monitor.load_state_dict(state)
        train(model, optimizer, batch, 3, monitor.step)
        found.append((monitor.latest.step, monitor.latest.ratio, monitor.latest.layers, monitor.latest.products))
    assert found[0] == found[1]
    assert found[0][0] == 8
