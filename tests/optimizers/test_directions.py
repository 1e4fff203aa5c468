"""Directions against the bits of torch's own steps, in every option, and how much of them a rescaling reaches."""

import pytest
import torch
import torch.optim as optim
from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.core.ulp import ulp, ulp_distance
from lastbit.optimizers import Direction, Needs, register
from lastbit.optimizers.registry import rule_of
from lastbit.optimizers.step import Snapshot, knows_direction
from lastbit.perturb.auto import Auto
from lastbit.perturb.rescale import Rescale
from lastbit.perturb.stochastic_rounding import StochasticRounding, rounding_error

DTYPES = [torch.float32, torch.float64, torch.bfloat16]
# Whole multiples of the processor's vectors, of which what is left over is rounded otherwise in bfloat16.
MATRICES, OTHERS = ((32, 64), (64, 32)), ((96,), (4, 4, 32))

DECOUPLED = {"weight_decay": 0.1, "decoupled_weight_decay": True}
# With beta2 = 0.8 RAdam adapts from its sixth step on.
OPTIONS = {
    "nadam": (optim.NAdam, {"lr": 0.02}),
    "nadam, decay": (optim.NAdam, {"lr": 0.02, "weight_decay": 0.1, "momentum_decay": 0.3}),
    "nadam, decoupled": (optim.NAdam, {"lr": 0.02, **DECOUPLED}),
    "radam": (optim.RAdam, {"lr": 0.02, "betas": (0.9, 0.8)}),
    "radam, decay": (optim.RAdam, {"lr": 0.02, "betas": (0.9, 0.8), "weight_decay": 0.1}),
    "radam, decoupled": (optim.RAdam, {"lr": 0.02, "betas": (0.9, 0.8), **DECOUPLED}),
    "adamax": (optim.Adamax, {"lr": 0.02}),
    "adamax, decay": (optim.Adamax, {"lr": 0.02, "weight_decay": 0.1}),
    "adadelta": (optim.Adadelta, {}),
    "adadelta, decay": (optim.Adadelta, {"lr": 0.3, "weight_decay": 0.1}),
    "asgd": (optim.ASGD, {"lr": 0.02}),
    "asgd, decay": (optim.ASGD, {"lr": 0.02, "lambd": 0.1, "weight_decay": 0.1, "t0": 2, "alpha": 1.5}),
    "rprop": (optim.Rprop, {}),
    "rprop, other steps": (optim.Rprop, {"etas": (0.3, 1.7), "step_sizes": (1e-3, 0.015)}),
    "adafactor": (optim.Adafactor, {}),
    "adafactor, decay": (optim.Adafactor, {"weight_decay": 0.1, "eps": (1e-6, 1e-2), "d": 1.1, "beta2_decay": -0.5}),
    "muon": (optim.Muon, {"lr": 0.02}),
    "muon, rms": (optim.Muon, {"lr": 0.02, "adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.0}),
}
WITH_DECOUPLED = [optim.Adafactor, optim.Muon]
every_option = pytest.mark.parametrize("name", OPTIONS)


def made(name, dtype=torch.float32, shapes=None, **extra):
    """An optimizer, and a source of numbers in its format."""
    kind, options = OPTIONS[name]
    generator = torch.Generator().manual_seed(0)

    def draw(shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    shapes = shapes or (MATRICES if kind.__name__ == "Muon" else MATRICES + OTHERS)
    if kind.__name__ == "Muon":
        extra = {}
    return kind([nn.Parameter(draw(shape)) for shape in shapes], **options, **extra), draw


def stepped(optimizer, draw, number):
    """Take a step, in which a parameter may be left out and the learning rate may fall, and yield what was done."""
    group = optimizer.param_groups[0]
    if number == 5:
        group["lr"] *= 0.5
    for place, param in enumerate(group["params"]):
        param.grad = None if (place, number) == (1, 3) else draw(param.shape)
    snapshot = Snapshot(optimizer, rule_of(type(optimizer), "direction"))
    optimizer.step()
    with torch.no_grad():
        yield from snapshot.steps()


@every_option
@pytest.mark.parametrize("ascent", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_direction_leads_bit_for_bit_where_the_optimizer_stepped(name, ascent, dtype):
    optimizer, draw = made(name, dtype, foreach=False, maximize=ascent)
    if "muon" in name and dtype == torch.bfloat16:
        # Of a tall matrix torch adds a transposed one, element by element, and rounds the product.
        optimizer, draw = made(name, dtype, shapes=((32, 64), (48, 48)))
    for number in range(8):
        for step in stepped(optimizer, draw, number):
            direction = step.direction()
            assert torch.equal(direction.applied(step.before), step.after)
            assert torch.equal(direction.applied(step.before, 4), step.after)
            assert not torch.equal(step.before, step.after)


@every_option
def test_a_foreach_step_is_rounded_otherwise_by_a_few_ulps_of_the_update(name):
    optimizer, draw = made(name, foreach=True)
    for number in range(8):
        for step in stepped(optimizer, draw, number):
            missed = (step.direction().applied(step.before) - step.after).abs()
            update = (step.after - step.before).abs()
            assert bool((missed <= 2 * ulp(step.after) + 8 * torch.finfo(torch.float32).eps * update).all())


@every_option
def test_rescaling_lands_on_the_share_of_weights_that_its_bound_allows(name):
    """A border of rounding lies between two sums that are `c u e` apart with chance `c u e / ulp`."""
    ends = {}
    for k in (1, 3, 7, 11):
        optimizer, draw = made(name, shapes=((192, 384),))
        for number in range(7):
            list(stepped(optimizer, draw, number))
        before = optimizer.param_groups[0]["params"][0].detach().reshape(-1).clone()
        with Rescale(k=k).attach(optimizer):
            list(stepped(optimizer, draw, 7))
        ends[k] = optimizer.param_groups[0]["params"][0].detach().reshape(-1)
    plain, group = ends.pop(1), optimizer.param_groups[0]
    decoupled = group.get("decoupled_weight_decay") or isinstance(optimizer, tuple(WITH_DECOUPLED))
    kept = 1 - group["lr"] * group["weight_decay"] if decoupled else 1 - group["lr"] * group.get("lambd", 0.0)
    update = (plain.double() - kept * before.double()).abs()
    # A chance: of a weight that the update all but cancels, whose ulp is tiny, it is 1 and no more.
    one = float((torch.finfo(torch.float32).eps / 2 * update / ulp(plain)).clamp(max=1).sum())
    landed = sum(int((moved != plain).sum()) for moved in ends.values()) / len(ends)
    assert 0.05 * one < landed < 3 * one
    assert one > 100


@every_option
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("foreach", [False, True])
def test_one_step_is_within_the_proven_bound(name, dtype, foreach):
    additions = 2 if "nadam" in name else 1
    for k in (3, 7, 101):
        ends = []
        for perturbation in (Rescale(k=1), Rescale(k=k), Rescale(k=8)):
            optimizer, draw = made(name, dtype, shapes=((32, 64),), foreach=foreach)
            for number in range(7):
                for step in stepped(optimizer, draw, number):
                    before = step.after.clone()
            with perturbation.attach(optimizer):
                list(stepped(optimizer, draw, 7))
            ends.append(optimizer.param_groups[0]["params"][0].detach().reshape(-1))
        plain, moved, control = ends
        assert torch.equal(plain, control)
        unit = torch.finfo(dtype).eps / 2
        update = (plain.double() - before.double()).abs()
        if OPTIONS[name][1].get("weight_decay"):
            update = update + 0.01 * before.double().abs()
        if additions == 2:  # its two parts may cancel
            update = update + 0.1
        larger = torch.maximum(ulp(plain), ulp(moved)).double()
        allowed = additions * larger + 9 * unit * (update + larger)
        assert bool(((moved.double() - plain.double()).abs() <= allowed).all())


@every_option
def test_the_rounding_error_is_that_of_the_step(name):
    """Half an ulp at most for each addition, as the optimizer rounds to the nearest, and the update's own roundings."""
    additions = 2 if "nadam" in name else 1
    for dtype in (torch.float32, torch.float64):
        optimizer, draw = made(name, dtype, foreach=False)
        for number in range(8):
            for step in stepped(optimizer, draw, number):
                error = rounding_error(step.direction(), step.before, step.after, step.scratch)
                update = step.direction().update().double().abs() + 0.1 * additions
                half = torch.finfo(dtype).eps / 2
                allowed = additions * 0.5 * ulp(step.after).double() * 2 + 6 * half * (
                    update + step.before.double().abs()
                )
                assert bool((error.abs() <= allowed).all())
                assert bool((error != 0).any())


@every_option
@pytest.mark.parametrize("perturbation", [Rescale(k=3), StochasticRounding(seed=1)], ids=lambda one: one.kind)
def test_the_first_steps_are_checked_against_the_optimizers_own_and_pass(name, perturbation):
    optimizer, draw = made(name)
    with perturbation.attach(optimizer):
        for number in range(4):
            list(stepped(optimizer, draw, number))
    assert Auto(k=3).chosen(optimizer) == Rescale(k=3)


def test_state_of_before_the_step_is_kept_only_where_it_is_needed():
    optimizer, draw = made("adadelta")
    list(stepped(optimizer, draw, 0))
    held = {param: optimizer.state[param]["acc_delta"].clone() for param in optimizer.param_groups[0]["params"]}
    (step,) = stepped(optimizer, draw, 1)
    assert torch.equal(step.earlier("acc_delta"), torch.cat([value.reshape(-1) for value in held.values()]))
    assert not torch.equal(step.earlier("acc_delta"), step.state("acc_delta"))
    assert step.earlier("square_avg") is None


def test_parameters_that_differ_in_a_scalar_are_shown_apart():
    """Two with the same count of steps, taken under different learning rates: each has the step size it was given."""
    params = [nn.Parameter(torch.ones(64)) for _ in range(3)]
    optimizer = optim.ASGD(params, lr=0.1, lambd=0.5, foreach=False)
    for lr, graded in ((0.1, params[:2]), (0.3, params[2:])):
        optimizer.param_groups[0]["lr"] = lr
        for param in params:
            param.grad = torch.full((64,), 0.7) if any(param is one for one in graded) else None
        optimizer.step()
    for param in params:
        param.grad = torch.full((64,), 0.7)
    snapshot = Snapshot(optimizer, rule_of(optim.ASGD, "direction"))
    optimizer.step()
    with torch.no_grad():
        steps = list(snapshot.steps())
        assert [step.before.numel() for step in steps] == [128, 64]
        for step in steps:
            assert torch.equal(step.direction().applied(step.before), step.after)


def test_optimizers_without_a_direction_are_rounded():
    weight = nn.Parameter(torch.ones(3, 3))
    for kind in (optim.LBFGS, optim.SparseAdam):
        assert not knows_direction(kind([weight]))
        assert Auto(k=3).chosen(kind([weight])).kind == "rounding"
    names = {name for name in optim.__all__ if isinstance(kind := getattr(optim, name), type) and name != "Optimizer"}
    unknown = {name for name in names if rule_of(getattr(optim, name), "direction") is None}
    assert unknown == {"LBFGS", "SparseAdam"}


def test_a_realised_update_of_lbfgs_is_rounded_by_an_ulp_at_most():
    def run(perturbation):
        weight = nn.Parameter(torch.linspace(-1, 1, 500))
        optimizer = optim.LBFGS([weight], lr=0.5, max_iter=4)
        perturbation.attach(optimizer)

        def closure():
            optimizer.zero_grad()
            loss = ((weight - 0.3) ** 4).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        return weight.detach()

    plain, moved = run(Rescale(k=1)), run(Auto(k=3, seed=2))
    distance = ulp_distance(plain, moved)
    assert int(distance.max()) == 1
    # Five sigma around a quarter.
    assert abs(float((distance == 1).double().mean()) - 0.25) < 5 * (0.25 * 0.75 / 500) ** 0.5


def test_sparse_adam_is_refused_in_one_line_and_steps_on():
    words = nn.Embedding(20, 4, sparse=True)
    optimizer = optim.SparseAdam(words.parameters())
    StochasticRounding().attach(optimizer)
    words(torch.tensor([1, 2])).sum().backward()
    before = words.weight.detach().clone()
    with pytest.raises(LastbitError, match=r"cannot perturb a step with torch.sparse_coo gradients") as caught:
        optimizer.step()
    assert "\n" not in str(caught.value)
    assert int((words.weight != before).any(1).sum()) == 2


def test_a_step_size_that_is_a_tensor_of_one_number_is_that_number():
    weights, ones = torch.full((8,), 0.3), torch.ones(8)
    number = Direction(float(torch.tensor(0.1)), ones, ones)
    assert torch.equal(Direction(torch.tensor(0.1), ones, ones).applied(weights, 3), number.applied(weights, 3))
    with pytest.raises(LastbitError, match="has no denominator: divide the numerator"):
        Direction(ones, ones, ones)


def test_needs_go_with_a_direction():
    with pytest.raises(LastbitError, match="needs are those of a direction: add it"):
        register(optim.SGD, refused="it is a test", needs=Needs(whole=True))
