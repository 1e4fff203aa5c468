"""Every optimizer that steps is perturbed, as if the perturbation had been attached to it by hand."""

import inspect

import pytest
import torch
from own_steps import Untaught
from torch import nn

import lastbit as lb
from lastbit.core.errors import LastbitError
from lastbit.launch.everywhere import Everywhere
from lastbit.perturb.auto import Auto
from lastbit.perturb.base import Identity
from lastbit.perturb.flip_ulp import FlipUlp
from lastbit.perturb.rescale import Rescale
from lastbit.perturb.stochastic_rounding import StochasticRounding

OPTIMIZERS = {
    "sgd": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9),
    "adamw": lambda params: torch.optim.AdamW(params, lr=0.01),
    "adam foreach": lambda params: torch.optim.Adam(params, lr=0.01, foreach=True),
    "adam fused": lambda params: torch.optim.Adam(params, lr=0.01, fused=True),
    "untaught": lambda params: Untaught(params, lr=0.01),
    "lbfgs": lambda params: torch.optim.LBFGS(params, lr=0.1, max_iter=3),
}
PERTURBATIONS = [Rescale(k=3), StochasticRounding(seed=2), FlipUlp(seed=1), Auto(k=5, seed=3)]


class Inherited(torch.optim.SGD):
    """Its step is its parent's, called from its own: both are hooked once an instance of the parent was made."""

    def step(self, closure=None):
        return super().step(closure)


class Alike(torch.optim.SGD):
    """The same step, hooked once, as a class that lastbit was not taught."""

    @torch.no_grad()
    def step(self, closure=None):
        return inspect.unwrap(torch.optim.SGD.step)(self, closure)


class Wrapped(torch.optim.Optimizer):
    """As accelerate's: an optimizer by its class alone, which was never made as one."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    def step(self, closure=None):
        return self.optimizer.step(closure)

    def zero_grad(self, set_to_none=True):
        self.optimizer.zero_grad(set_to_none)


def made(kind):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
        inputs = torch.randn(16, 6)
    return model, kind(model.parameters()), inputs


def steps(model, optimizer, inputs, count=6):
    def closure():
        optimizer.zero_grad()
        loss = model(inputs).square().mean()
        loss.backward()
        return loss

    for _ in range(count):
        optimizer.step(closure)
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


@pytest.mark.parametrize("perturbation", PERTURBATIONS, ids=lambda one: one.kind)
@pytest.mark.parametrize("kind", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_it_acts_as_if_attached_by_hand_from_the_first_step(kind, perturbation):
    model, optimizer, inputs = made(kind)
    with perturbation.attach(optimizer):
        by_hand = steps(model, optimizer, inputs)
    model, optimizer, inputs = made(kind)
    with Everywhere(perturbation) as everywhere:
        everywhere_else = steps(model, optimizer, inputs)
    assert torch.equal(everywhere_else, by_hand)
    assert everywhere.steps == 6
    assert [met.steps for met in everywhere.met] == [6]


def test_unperturbed_it_counts_and_changes_nothing():
    plain = steps(*made(OPTIMIZERS["adamw"]))
    with Everywhere(Identity()) as everywhere:
        assert torch.equal(steps(*made(OPTIMIZERS["adamw"])), plain)
    assert everywhere.steps == 6
    with Everywhere(Rescale(k=4)):
        assert torch.equal(steps(*made(OPTIMIZERS["adamw"])), plain)


def test_afterwards_nothing_is_left_even_where_the_body_raised():
    def body():
        with Everywhere(Rescale(k=3)):
            steps(*world)
            raise RuntimeError("the loop failed")

    world = made(OPTIMIZERS["sgd"])
    with pytest.raises(RuntimeError, match="the loop failed"):
        body()
    assert not world[1]._optimizer_step_pre_hooks
    assert not world[1]._optimizer_step_post_hooks
    with Everywhere(Identity()) as everywhere:
        steps(*world)
    assert everywhere.steps == 6


@pytest.mark.parametrize("perturbation", PERTURBATIONS, ids=lambda one: one.kind)
def test_a_step_that_calls_its_parents_is_one_step(perturbation):
    made(OPTIMIZERS["sgd"])  # from now on the parent's step is hooked too
    model, optimizer, inputs = made(lambda params: Inherited(params, lr=0.1))
    with Everywhere(perturbation) as everywhere:
        found = steps(model, optimizer, inputs)
        assert everywhere.met[0].attachment.state_dict()["step"] == 6
    assert everywhere.steps == 6
    # Written after the inner step and after the outer, or drawn for twice as many, it would be another perturbation.
    model, optimizer, inputs = made(lambda params: Alike(params, lr=0.1))
    with perturbation.attach(optimizer):
        assert torch.equal(steps(model, optimizer, inputs), found)


def test_a_wrapper_that_is_no_real_optimizer_is_perturbed_where_the_inner_one_steps():
    model, optimizer, inputs = made(OPTIMIZERS["adamw"])
    with Everywhere(Auto(k=3)) as everywhere:
        found = steps(model, Wrapped(optimizer), inputs)
    assert [(met.name, met.steps, met.perturbed) for met in everywhere.met] == [("AdamW", 6, "rescale")]
    with Everywhere(Auto(k=3)):
        assert torch.equal(steps(*made(OPTIMIZERS["adamw"])), found)


def test_optimizers_that_step_within_backward_are_each_perturbed():
    def trained(perturbation):
        model, _, inputs = made(OPTIMIZERS["sgd"])
        own = {param: torch.optim.Adam([param], lr=0.01) for param in model.parameters()}

        def step(param):
            own[param].step()
            own[param].zero_grad()

        for param in own:
            param.register_post_accumulate_grad_hook(step)
        with Everywhere(perturbation) as everywhere:
            for _ in range(4):
                model(inputs).square().mean().backward()
        return everywhere, torch.cat([param.detach().reshape(-1) for param in own])

    everywhere, found = trained(Rescale(k=3))
    assert [(met.steps, met.perturbed) for met in everywhere.met] == 4 * [(4, "rescale")]
    assert not torch.equal(found, trained(Identity())[1])
    assert torch.equal(trained(Rescale(k=4))[1], trained(Identity())[1])


def test_after_a_step_that_raised_and_was_caught_the_next_is_perturbed_and_counted():
    class Fails(torch.optim.SGD):
        fails = True

        def step(self, closure=None):
            super().step(closure)
            if self.fails:
                raise RuntimeError("out of memory")

    def trained(perturbation):
        made(OPTIMIZERS["sgd"])  # from now on the parent's step is hooked too
        model, optimizer, inputs = made(lambda params: Fails(params, lr=0.1))
        with Everywhere(perturbation) as everywhere:
            with pytest.raises(RuntimeError, match="out of memory"):
                steps(model, optimizer, inputs, count=1)
            optimizer.fails = False
            model.load_state_dict(made(OPTIMIZERS["sgd"])[0].state_dict())  # without what the first step did
            return steps(model, optimizer, inputs, count=3), everywhere.steps

    plain, taken = trained(Identity())
    three, also = trained(Auto(k=3))
    assert taken == also == 3
    assert not torch.equal(plain, three)


def test_several_optimizers_are_each_perturbed_and_named():
    worlds = [made(OPTIMIZERS[name]) for name in ("sgd", "untaught")]
    with Everywhere(Auto(k=3), keep_first=True) as everywhere:
        for world in worlds:
            steps(*world)
        final = everywhere.weights()
    assert [met.perturbed for met in everywhere.met] == ["rescale", "rounding"]
    assert final.keys() == everywhere.first_weights().keys()
    assert sum(one.numel() for one in final.values()) == 2 * sum(p.numel() for p in worlds[0][0].parameters())


def test_what_cannot_be_perturbed_is_left_alone_and_told():
    weight = nn.Parameter(torch.ones(3, dtype=torch.complex64))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    with Everywhere(Rescale(k=3)) as everywhere:
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    assert everywhere.met[0].perturbed == "none"
    assert "cannot perturb complex parameters" in everywhere.met[0].refused
    assert weight[0] == 0.9


@pytest.mark.parametrize("fused", [False, True])
def test_the_scaler_that_skips_a_step_has_taken_none(fused):
    model, optimizer, inputs = made(lambda params: torch.optim.AdamW(params, lr=0.01, fused=fused))
    scaler, before = torch.amp.GradScaler("cpu"), torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    with Everywhere(FlipUlp(seed=1)) as everywhere:
        scaler.scale(model(inputs).sum() * float("inf")).backward()
        scaler.step(optimizer)
        scaler.update()
        assert torch.equal(torch.cat([p.detach().reshape(-1) for p in model.parameters()]), before)
        assert everywhere.steps == 0
        optimizer.zero_grad()
        scaler.scale(model(inputs).sum()).backward()
        scaler.step(optimizer)
    assert everywhere.steps == 1


def test_one_is_at_work_at_a_time():
    with lb.perturbed(k=3), pytest.raises(LastbitError, match="perturbed already"), lb.perturbed(k=5):
        pass
    with lb.perturbed(k=3):  # and the refused one left nothing behind
        pass


def test_one_is_entered_once_and_a_new_one_perturbs_what_the_first_did():
    world, unperturbed = made(OPTIMIZERS["sgd"]), made(OPTIMIZERS["sgd"])
    once = lb.perturbed(k=3)
    with once:
        steps(*world)
    with pytest.raises(LastbitError, match=r"entered once: make a new lastbit.perturbed\(\)"), once:
        pass
    assert once.steps == 6
    steps(*unperturbed)
    between = steps(*world), steps(*unperturbed)
    assert not torch.equal(*between)
    for whole in (world, unperturbed):
        whole[0].load_state_dict(made(OPTIMIZERS["sgd"])[0].state_dict())
    with lb.perturbed(k=3) as again:
        found = steps(*world)
    assert again.met[0].perturbed == "rescale"
    assert not torch.equal(found, steps(*unperturbed))


def test_by_hand_one_optimizer_is_perturbed():
    model, optimizer, inputs = made(OPTIMIZERS["sgd"])
    with lb.perturb_optimizer(optimizer, "rescale", k=3):
        by_name = steps(model, optimizer, inputs)
    model, optimizer, inputs = made(OPTIMIZERS["sgd"])
    with Rescale(k=3).attach(optimizer):
        assert torch.equal(by_name, steps(model, optimizer, inputs))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: lb.perturbed("rescal", k=3), "unknown perturbation 'rescal'"),
        (lambda: lb.perturbed("rescale", seed=3), "unknown setting .seed."),
        (lambda: lb.perturbed(k=6), "write an odd number"),
        (lambda: lb.perturbed("reorder"), "needs the model"),
        (lambda: lb.perturb_optimizer(nn.Linear(1, 1)), "needs a torch.optim.Optimizer, got Linear"),
    ],
)
def test_bad_input_is_one_line(call, match):
    with pytest.raises(LastbitError, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)
