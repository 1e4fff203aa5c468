"""What every registered perturbation owes every optimizer; a new row in the registry buys the whole suite."""

import copy
from functools import cache

import pytest
import torch
from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.core.ulp import ulp, ulp_distance
from lastbit.perturb.base import Attachment, Identity
from lastbit.perturb.registry import PERTURBATIONS, make_perturbation
from lastbit.perturb.rescale import Rescale

RULES = {
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "momentum": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "dampening": 0.1}),
    "nesterov": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "decay": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-3}),
    "adam": (torch.optim.Adam, {"lr": 1e-2, "weight_decay": 1e-2}),
    "adamw": (torch.optim.AdamW, {"lr": 1e-2, "weight_decay": 0.1}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 1e-2, "momentum": 0.5, "centered": True}),
    "rmsprop-plain": (torch.optim.RMSprop, {"lr": 1e-3}),
    "adagrad": (torch.optim.Adagrad, {"lr": 1e-2, "lr_decay": 0.1}),
    "adadelta": (torch.optim.Adadelta, {"lr": 0.3}),
    "nadam": (torch.optim.NAdam, {"lr": 1e-2, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "radam": (torch.optim.RAdam, {"lr": 0.3}),
    "adamax": (torch.optim.Adamax, {"lr": 1e-2}),
    "asgd": (torch.optim.ASGD, {"lr": 0.1, "lambd": 1e-2}),
    "rprop": (torch.optim.Rprop, {"lr": 1e-2}),
}
PATHS = {"single": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad)
# Their foreach steps are in tests/optimizers/test_directions.py.
SINGLE = ("adadelta", "radam", "adamax", "rprop")
MADE = [
    (rule, path)
    for rule, (kind, _) in RULES.items()
    for path in PATHS
    if path == "single" or (kind in FUSED if path == "fused" else rule not in SINGLE)
]
KINDS = sorted(PERTURBATIONS)
NOISY = [kind for kind in KINDS if kind != "identity"]
UPDATES = ["rescale", "rounding", "ulp"]

every_step = pytest.mark.parametrize(("rule", "path"), MADE, ids=["-".join(each) for each in MADE])
every_kind = pytest.mark.parametrize("kind", KINDS)
noisy_kind = pytest.mark.parametrize("kind", NOISY)


class Net(nn.Module):
    """A small CNN with batch norm, and beside it a 0-d, an empty and an unused parameter."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.tensor(1.3))
        self.empty = nn.Parameter(torch.zeros(0, 2))
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, images):
        features = torch.relu(self.norm(self.conv(images))).mean((2, 3))
        return self.head(features) * self.scale + self.empty.sum()


def world(rule, path, dtype=torch.float32, groups=False):
    """A model, its optimizer and the batches, the same every time."""
    kind, options = RULES[rule]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = Net().to(dtype)
        batches = [(torch.randn(16, 1, 6, 6, dtype=dtype), torch.randint(0, 3, (16,))) for _ in range(8)]
    params = list(model.parameters())
    if groups:
        params = [{"params": params[:3], "lr": 0.02, "weight_decay": 0.1}, {"params": params[3:], "maximize": True}]
    return model, kind(params, **options, **PATHS[path]), batches


def train(model, optimizer, batches, closure=False):
    for images, labels in batches:

        def loss(images=images, labels=labels):
            optimizer.zero_grad()
            value = nn.functional.cross_entropy(model(images), labels)
            value.backward()
            return value

        if closure:
            optimizer.step(loss)
        else:
            loss()
            optimizer.step()


def weights(model):
    return torch.cat([param.detach().reshape(-1) for param in model.parameters()])


@cache
def trained(rule, path, perturbation=None, steps=4, dtype=torch.float32, groups=False, closure=False):
    model, optimizer, batches = world(rule, path, dtype, groups)
    if perturbation is not None:
        perturbation.attach(optimizer, model)
    train(model, optimizer, batches[:steps], closure)
    return weights(model)


def assert_same(a, b):
    assert torch.equal(a, b)


def assert_small_against_native(kind, rule, path, dtype):
    """Step by step from a shared state: at most one ulp of the weight plus a few roundings of the update."""
    model, optimizer, batches = world(rule, path, dtype)
    make_perturbation(kind, 2).attach(optimizer, model)
    unit = torch.finfo(dtype).eps / 2
    changed = 0
    for batch in batches[:5]:
        # A deep copy of both at once keeps the copied optimizer on the copied weights; hooks are not copied.
        twin, native = copy.deepcopy((model, optimizer))
        before = weights(model)
        train(twin, native, [batch])
        train(model, optimizer, [batch])
        got, want = weights(model), weights(twin)
        update = (want - before).double().abs() + ulp(before).double()
        assert bool(((got - want).double().abs() <= ulp(want).double() + 12 * unit * update).all())
        if kind in {"ulp", "rounding"}:
            assert int(ulp_distance(got, want).max()) <= 1
        changed += int((got != want).sum())
    return changed


@every_step
@pytest.mark.parametrize("control", [Identity(), Rescale(k=1), Rescale(k=2), Rescale(k=8)], ids=lambda c: c.label)
def test_controls_change_no_bit(rule, path, control):
    assert_same(trained(rule, path, control), trained(rule, path))


@every_step
@noisy_kind
def test_lands_in_the_first_step(kind, rule, path):
    # In a network so small what one of them moves may be rounded away again: the more often, the less it moves.
    plain = trained(rule, path, steps=1)
    moved = [trained(rule, path, make_perturbation(kind, k), steps=1) for k in range(1, 9)]
    assert sum(not torch.equal(one, plain) for one in moved) >= (2 if kind in ("rescale", "auto") else 6)


@every_step
@pytest.mark.parametrize("kind", UPDATES)
def test_each_step_is_within_the_bound(kind, rule, path):
    assert assert_small_against_native(kind, rule, path, torch.float32) > 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", UPDATES)
def test_other_formats_are_within_the_bound(kind, rule, dtype):
    assert assert_small_against_native(kind, rule, "foreach", dtype) > 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rule", RULES)
def test_a_power_of_two_changes_no_bit_in_other_formats(rule, dtype):
    for path in ("single", "foreach"):
        assert_same(trained(rule, path, Rescale(k=4), dtype=dtype), trained(rule, path, dtype=dtype))


@every_kind
@pytest.mark.parametrize("rule", ["decay", "adam"])
def test_same_seed_same_bits_another_seed_others(kind, rule):
    first, second = make_perturbation(kind, 1), make_perturbation(kind, 2)
    # Past the cache, which would compare a result with itself.
    assert_same(trained.__wrapped__(rule, "single", first), trained(rule, "single", first))
    if kind != "identity":
        assert not torch.equal(trained(rule, "single", first), trained(rule, "single", second))


@every_kind
def test_the_global_generator_is_neither_read_nor_moved(kind):
    perturbation = make_perturbation(kind, 1)
    with torch.random.fork_rng():
        torch.manual_seed(11)
        first = trained.__wrapped__("nesterov", "single", perturbation)
        torch.manual_seed(12)
        state = torch.get_rng_state()
        second = trained.__wrapped__("nesterov", "single", perturbation)
        assert torch.equal(torch.get_rng_state(), state)
    assert_same(first, second)


@every_kind
@pytest.mark.parametrize("path", PATHS)
def test_parameter_groups_keep_their_settings(kind, path):
    perturbation = make_perturbation(kind, 1)
    base = trained("decay", path, steps=2, groups=True)
    moved = trained("decay", path, perturbation, steps=2, groups=True)
    assert float((moved - base).abs().max()) < 1e-5
    assert torch.equal(moved, base) == (kind == "identity")
    assert_same(trained("decay", path, Rescale(k=2), groups=True), trained("decay", path, groups=True))


@every_step
@every_kind
def test_a_closure_gives_the_same_step(kind, rule, path):
    perturbation = make_perturbation(kind, 1)
    assert_same(trained(rule, path, perturbation, 2, closure=True), trained(rule, path, perturbation, 2))


@every_kind
@pytest.mark.parametrize("rule", ["nesterov", "adamw"])
def test_detach_leaves_an_optimizer_that_was_never_touched(kind, rule):
    results = []
    for attach in (True, False):
        model, optimizer, batches = world(rule, "single")
        if attach:
            with make_perturbation(kind, 1).attach(optimizer, model) as attachment:
                train(model, optimizer, batches[:2])
            saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
            assert isinstance(attachment, Attachment)
            attachment.detach()
        else:
            model.load_state_dict(saved[0])
            optimizer.load_state_dict(saved[1])
        assert not optimizer._optimizer_step_pre_hooks
        assert not optimizer._optimizer_step_post_hooks
        assert not model._forward_pre_hooks
        assert not model._forward_hooks
        train(model, optimizer, batches[2:5])
        results.append(weights(model))
    assert_same(*results)


@every_kind
@pytest.mark.parametrize("rule", ["nesterov", "adamw"])
def test_a_checkpoint_goes_on_bit_for_bit(kind, rule):
    perturbation = make_perturbation(kind, 2)
    model, optimizer, batches = world(rule, "single")
    attachment = perturbation.attach(optimizer, model)
    train(model, optimizer, batches[:3])
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict(), attachment.state_dict()))
    assert all(isinstance(value, torch.Tensor) for value in saved[2].values())
    train(model, optimizer, batches[3:6])

    other, resumed, _ = world(rule, "single")
    other.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    again = perturbation.attach(resumed, other)
    again.load_state_dict(saved[2])
    train(other, resumed, batches[3:6])
    assert_same(weights(other), weights(model))


@every_kind
def test_a_state_that_is_none_is_refused(kind):
    model, optimizer, _ = world("sgd", "single")
    attachment = make_perturbation(kind, 1).attach(optimizer, model)
    with pytest.raises(LastbitError, match="one entry 'step'"):
        attachment.load_state_dict({"seed": torch.tensor(0)})


@every_kind
def test_what_has_no_last_bit_is_refused(kind):
    perturbation = make_perturbation(kind, 1)
    complex_weight = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    with pytest.raises(LastbitError, match="complex"):
        perturbation.attach(torch.optim.SGD([complex_weight], lr=0.1), nn.ParameterList([complex_weight]))
    whole = nn.Parameter(torch.ones(2, dtype=torch.int32), requires_grad=False)
    with pytest.raises(LastbitError, match=r"torch.int32.*use one of"):
        perturbation.attach(torch.optim.SGD([whole], lr=0.1), nn.ParameterList([whole]))
    empty = torch.optim.SGD([{"params": []}], lr=0.1)
    with pytest.raises(LastbitError, match="no parameters"):
        perturbation.attach(empty, nn.Linear(1, 1))
    weight = nn.Parameter(torch.ones(2))
    with pytest.raises(LastbitError, match="differentiable"):
        perturbation.attach(torch.optim.SGD([weight], lr=0.1, differentiable=True), nn.ParameterList([weight]))


@every_kind
def test_describes_itself(kind):
    members = [make_perturbation(kind, index) for index in range(4)]
    assert members[0] == Identity()
    assert all(member.kind == kind and isinstance(member.label, str) for member in members[1:])
    if kind != "identity":
        assert len({member.label for member in members}) == 4
    assert type(members[1]).model_validate_json(members[1].model_dump_json()) == members[1]
