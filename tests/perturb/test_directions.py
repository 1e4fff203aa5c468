"""What a taught direction does to the perturbations, and that a wrong one is not believed."""

import pytest
import torch
from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.optimizers import Direction, register, registry
from lastbit.perturb.rescale import Rescale
from lastbit.perturb.stochastic_rounding import StochasticRounding


class SignSGD(torch.optim.Optimizer):
    """An optimizer of one's own."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                param.add_(param.grad.mul(3).sign_(), alpha=-group["lr"])


class Wrong(SignSGD):
    """Another step, so that a direction of its own is wanted."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                param.add_(param.grad, alpha=-group["lr"])


class Renamed(torch.optim.SGD):
    """A subclass that steps like its parent."""


class Doubled(torch.optim.SGD):
    """A subclass that does not."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                param.add_(param.grad, alpha=-2 * group["lr"])


def one_step(optimizer_class, perturbation, n=500):
    generator = torch.Generator().manual_seed(0)
    param = nn.Parameter(torch.randn(n, generator=generator))
    optimizer = optimizer_class([param], lr=0.1)
    with perturbation.attach(optimizer):
        param.grad = torch.randn(n, generator=generator)
        optimizer.step()
    return param.detach()


@pytest.fixture
def own_register(monkeypatch):
    """A register to write in, put back afterwards."""
    monkeypatch.setattr(registry, "_REGISTER", list(registry._REGISTER))


def test_a_subclass_that_steps_otherwise_has_no_direction_of_its_parent():
    assert torch.equal(one_step(Doubled, Rescale(k=4)), one_step(Doubled, Rescale(k=1)))
    assert torch.equal(one_step(Renamed, Rescale(k=3)), one_step(torch.optim.SGD, Rescale(k=3)))
    assert not torch.equal(one_step(Renamed, Rescale(k=3)), one_step(Renamed, Rescale(k=1)))


@pytest.mark.usefixtures("own_register")
def test_a_taught_direction_gives_the_published_update():
    register(SignSGD, direction=lambda step: Direction(step.group["lr"], step.gradient().sign()))
    generator = torch.Generator().manual_seed(0)
    weight, grad = torch.randn(500, generator=generator), torch.randn(500, generator=generator)
    got = one_step(SignSGD, Rescale(k=3))
    assert torch.equal(got, weight.add(grad.sign() / 3, alpha=-(3 * 0.1)))
    assert not torch.equal(got, one_step(SignSGD, Rescale(k=1)))


@pytest.mark.usefixtures("own_register")
@pytest.mark.parametrize("perturbation", [Rescale(k=3), StochasticRounding()], ids=lambda each: each.kind)
def test_a_direction_that_leads_elsewhere_is_refused(perturbation):
    register(Wrong, direction=lambda step: Direction(step.group["lr"], step.gradient().sign()))
    with pytest.raises(LastbitError, match="registered for Wrong does not lead where Wrong stepped"):
        one_step(Wrong, perturbation)


def test_a_step_that_a_gradient_scaler_skips_is_left_alone():
    param = nn.Parameter(torch.ones(100))
    optimizer = torch.optim.SGD([param], lr=0.1, fused=True)
    Rescale(k=3).attach(optimizer)
    param.grad = torch.full((100,), float("inf"))
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(1.0), torch.tensor(1.0)
    optimizer.step()
    assert torch.equal(param.detach(), torch.ones(100))


def test_a_perturbation_attached_within_a_step_starts_with_the_next():
    param = nn.Parameter(torch.randn(500, generator=torch.Generator().manual_seed(0)))
    optimizer = torch.optim.SGD([param], lr=0.1)
    attached = []

    def closure():
        param.grad = torch.ones(500) / 3
        if not attached:
            attached.append(Rescale(k=3).attach(optimizer))
        return torch.tensor(0.0)

    before = param.detach().clone()
    optimizer.step(closure)
    assert torch.equal(param.detach(), before.add(torch.ones(500) / 3, alpha=-0.1))
    second = param.detach().clone()
    optimizer.step(closure)
    assert torch.equal(param.detach(), second.add(torch.ones(500) / 3 / 3, alpha=-(3 * 0.1)))
