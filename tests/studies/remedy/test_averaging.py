"""The average of weights: its closed form, torch's own, and a training that does not notice it."""

import copy
import io
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn
from torch.utils.data import DataLoader, TensorDataset

import lastbit as lb
from lastbit.core import generators
from lastbit.core.errors import LastbitError


def network(dropout=0.3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(dropout), nn.Linear(6, 5), nn.BatchNorm1d(5, 0.01)
    )


def data():
    torch.manual_seed(1)
    return TensorDataset(torch.randn(40, 4), torch.randint(5, (40,)))


def batches():
    inputs, targets = data().tensors
    return list(zip(inputs.split(10), targets.split(10), strict=True))


def train(model, optimizer, loader, average=None, restat=False):
    losses = []
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if average is not None:
            average.update()
    if restat:
        average.restat(loader)
    return losses


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def through_disk(state):
    held = io.BytesIO()
    torch.save(state, held)
    held.seek(0)
    return torch.load(held, weights_only=True)


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@given(st.floats(0, 0.999), st.lists(st.floats(-100, 100), min_size=1, max_size=12))
def test_the_average_is_its_closed_form(decay, weights):
    model = nn.Linear(1, 1, bias=False).double()
    average = lb.remedies.ema(model, decay)
    for weight in weights:
        nn.init.constant_(model.weight, weight)
        average.update()
    last = len(weights) - 1
    shares = [decay**last, *((1 - decay) * decay ** (last - t) for t in range(1, last + 1))]
    assert sum(shares) == pytest.approx(1)
    expected = np.dot(shares, weights)
    found = average.model.weight.item()
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert min(weights) - 1e-9 <= found <= max(weights) + 1e-9
    assert average.updates == len(weights)


@pytest.mark.parametrize("own_generator", [True, False])
def test_the_training_keeps_its_bits(own_generator):
    """Beside dropout and batch norm, with statistics estimated in between over the loader that it trains on."""
    ends = []
    for averaged in (False, True):
        generators.seed_all(3)
        model = network()
        optimizer = sgd(model)
        own = torch.Generator().manual_seed(4) if own_generator else None
        loader = DataLoader(data(), 8, shuffle=True, generator=own)
        average = lb.remedies.ema(model) if averaged else None
        losses = [train(model, optimizer, loader, average, restat=averaged) for _ in range(3)]
        ends.append((losses, model.state_dict(), torch.get_rng_state(), random.getstate()))
        assert model.training
        assert [norm.momentum for norm in model.modules() if isinstance(norm, nn.BatchNorm1d)] == [0.1, 0.1]
    assert ends[0][0] == ends[1][0]
    assert equal(ends[0][1], ends[1][1])
    assert torch.equal(ends[0][2], ends[1][2])
    assert ends[0][3] == ends[1][3]


def test_weights_and_statistics_are_those_of_torch():
    """Bit for bit, where no dropout tells them apart: torch estimates with dropout, as it trains."""
    model = network(dropout=0.0)
    average = lb.remedies.ema(model, 0.9)
    twin = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    optimizer = sgd(model)
    for _ in range(3):
        train(model, optimizer, batches(), average)
    again = network(dropout=0.0)
    optimizer = sgd(again)
    for inputs, targets in batches() * 3:
        train(again, optimizer, [(inputs, targets)])
        twin.update_parameters(again)
    assert equal(average.model.state_dict(), twin.module.state_dict())
    average.restat(batches())
    update_bn(batches(), twin)
    assert equal(average.model.state_dict(), twin.module.state_dict())
    assert not any(module.training for module in average.model.modules())


def test_statistics_are_the_means_over_batches():
    model = nn.Sequential(nn.BatchNorm1d(4)).double()
    average = lb.remedies.ema(model)
    average.update()
    inputs = data().tensors[0].double()
    average.restat(iter(inputs.split(10)))
    parts = inputs.split(10)
    torch.testing.assert_close(average.model[0].running_mean, torch.stack([part.mean(0) for part in parts]).mean(0))
    torch.testing.assert_close(average.model[0].running_var, torch.stack([part.var(0) for part in parts]).mean(0))


def test_statistics_do_not_depend_on_where_generators_stand():
    model = network()
    average = lb.remedies.ema(model)
    loader = DataLoader(data(), 8, shuffle=True)
    found = []
    for seed in (1, 2):
        generators.seed_all(seed)
        before = generators.save()
        average.restat(loader)
        assert generators.same(before, generators.save())
        found.append(copy.deepcopy(average.model.state_dict()))
    assert equal(*found)
    assert not torch.equal(found[0]["1.running_mean"], torch.zeros(6))


def test_frozen_batch_norm_keeps_its_statistics():
    model = network()
    model[1].eval()
    average = lb.remedies.ema(model)
    average.restat(batches())
    assert torch.equal(average.model[1].running_mean, torch.zeros(6))
    assert not torch.equal(average.model[5].running_mean, torch.zeros(5))


def test_of_a_network_in_eval_mode_all_statistics_are_estimated():
    average = lb.remedies.ema(network().eval())
    average.restat(batches())
    assert average.model[1].running_mean.abs().sum() > 0


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x, scale=1.0):
        return self.norm(scale * x)


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x,
        lambda x: [x],
        lambda x: (x, torch.zeros(len(x))),
        lambda x: (x, torch.ones(1), torch.zeros(len(x))),
        lambda x: {"x": x, "labels": torch.zeros(len(x))},
    ],
)
def test_every_form_of_batch_is_understood(form):
    average = lb.remedies.ema(Named())
    inputs = data().tensors[0]
    average.restat([form(part) for part in inputs.split(20)])
    torch.testing.assert_close(average.model.norm.running_mean, inputs.mean(0))


def test_without_batch_norm_no_batch_is_read():
    average = lb.remedies.ema(nn.Linear(2, 2))
    average.restat(1 / 0 for _ in range(1))


def test_statistics_of_before_stay_where_estimating_fails():
    model = network()
    average = lb.remedies.ema(model)
    average.restat(batches())
    before = copy.deepcopy(average.model.state_dict())
    for wrong, error in [
        ([], LastbitError),
        ([*batches(), (torch.zeros(2, 3), None)], RuntimeError),
        ([(torch.zeros(1, 4), None)], ValueError),
        (["x"], LastbitError),
    ]:
        with pytest.raises(error, match=r"got no batch|mat1|Expected more than 1|must be \(inputs, targets\)"):
            average.restat(wrong)
        assert equal(average.model.state_dict(), before)
        assert [average.model[1].momentum, average.model[1].training] == [0.1, False]


def test_a_training_goes_on_from_the_middle_bit_for_bit():
    through = lb.remedies.ema(model := network(), 0.9)
    optimizer = sgd(model)
    saved = None
    for epoch in range(4):
        if epoch == 2:
            states = (model.state_dict(), optimizer.state_dict(), through.state_dict())
            saved = through_disk({"states": states, "random": torch.get_rng_state()})
        train(model, optimizer, batches(), through)
    resumed = lb.remedies.ema(model := network(), 0.9)
    optimizer = sgd(model)
    for thing, state in zip((model, optimizer, resumed), saved["states"], strict=True):
        thing.load_state_dict(state)
    torch.set_rng_state(saved["random"])
    for _ in range(2):
        train(model, optimizer, batches(), resumed)
    assert resumed.updates == through.updates == 16
    for average in (through, resumed):
        average.restat(batches())
    assert equal(resumed.model.state_dict(), through.model.state_dict())


class Rebinding(nn.Module):
    """A buffer that is replaced in each call, and one that a state does not hold."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("last", torch.zeros(2), persistent=False)
        self.register_buffer("none", None)

    def forward(self, x):
        self.calls = self.calls + 1
        self.last = x[0]
        return self.linear(x)


def test_buffers_are_those_of_the_network_wherever_they_lie():
    model = Rebinding()
    average = lb.remedies.ema(model)
    for _ in range(3):
        model(torch.ones(1, 2))
        average.update()
    assert float(average.model.calls) == 3
    assert torch.equal(average.model.last, torch.ones(2))
    model(torch.zeros(1, 2))
    assert float(average.model.calls) == 3
    average.update()
    assert float(average.model.calls) == 4


def test_tied_and_frozen_weights_stay_so():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    model[1].bias.requires_grad_(False)
    average = lb.remedies.ema(model, 0.5)
    average.update()
    average.update()
    assert average.model[1].weight is average.model[0].weight
    assert average.model[1].weight is not model[0].weight
    assert torch.equal(average.model[1].bias, model[1].bias)


def uncopied():
    model = nn.Linear(2, 2)
    model.made = torch.ones(2, requires_grad=True) * 2
    return model


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lb.remedies.ema(network(), 1.0), "decay = 1.0: give a number of at least 0 and below 1"),
        (lambda: lb.remedies.ema(network(), -0.1), "decay = -0.1"),
        (lambda: lb.remedies.ema(network(), True), "decay = True"),
        (lambda: lb.remedies.ema(network(), float("nan")), "decay = nan"),
        (lambda: lb.remedies.ema(network(), "0.9"), "decay = '0.9'"),
        (lambda: lb.remedies.ema(network().bfloat16()), "decay = 0.995 is too close to 1 for torch.bfloat16"),
        (lambda: lb.remedies.ema(None), "expected a torch.nn.Module, got NoneType"),
        (lambda: lb.remedies.ema(nn.LazyLinear(2)), "has no shape yet: run the model once"),
        (lambda: lb.remedies.ema(uncopied()), "the model cannot be copied: Only Tensors created explicitly"),
        (lambda: lb.remedies.ema(network()).load_state_dict({"decay": 1}), "entries decay, updates, model"),
        (
            lambda: lb.remedies.ema(network()).load_state_dict(lb.remedies.ema(network(), 0.9).state_dict()),
            r"of decay 0.9, this average has 0.995: make it with ema\(model, decay=0.9\)",
        ),
        (
            lambda: lb.remedies.ema(network()).load_state_dict(lb.remedies.ema(nn.Linear(2, 2)).state_dict()),
            "the state is of another network",
        ),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(LastbitError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)
