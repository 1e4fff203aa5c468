import copy

import pytest
import torch
from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.dynamics.tangent import hessian_product, init_tangent, step_tangent


def network(dropout=0.0):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Dropout(dropout), nn.Flatten(), nn.Linear(48, 4)]
    return nn.Sequential(*layers)


def batch(dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(7, 1, 6, 6, generator=generator).to(dtype)
    return images, torch.randint(4, (7,), generator=generator)


def gradient_at(model, point, images, labels):
    loss = nn.functional.cross_entropy(torch.func.functional_call(model, point, (images,)), labels)
    return torch.autograd.grad(loss, list(point.values()))


def by_differences(model, direction, images, labels, h=1e-5):
    """The Hessian product by central differences of the gradient."""
    ends = []
    for sign in (1, -1):
        point = {
            n: (p.detach() + sign * h * d).requires_grad_()
            for (n, p), d in zip(model.named_parameters(), direction, strict=True)
        }
        ends.append(gradient_at(model, point, images, labels))
    return [(up - down) / (2 * h) for up, down in zip(*ends, strict=True)]


def test_the_product_is_the_derivative_of_the_gradient_in_training_mode():
    model = network().double()
    weights = dict(model.named_parameters())
    tangent = init_tangent(weights, seed=4)
    before = copy.deepcopy(model.state_dict())
    found = hessian_product(model, nn.functional.cross_entropy, batch(torch.float64))(tangent.direction)
    assert all(torch.equal(before[name], x) for name, x in model.state_dict().items())
    for product, expected in zip(found, by_differences(model, tangent.direction, *batch(torch.float64)), strict=True):
        # Central differences of a smooth gradient: h² and 1e-16/h.
        torch.testing.assert_close(product, expected, rtol=1e-6, atol=1e-8)


def test_the_forward_pass_after_it_draws_the_mask_it_used():
    model = network(dropout=0.5).double()
    images, labels = batch(torch.float64)
    direction = init_tangent(dict(model.named_parameters()), seed=5).direction
    torch.manual_seed(11)
    product = hessian_product(model, nn.functional.cross_entropy, (images, labels))
    state = torch.get_rng_state()
    ends = []
    for sign in (1, -1):
        torch.set_rng_state(state)
        point = {
            n: (p.detach() + sign * 1e-5 * d).requires_grad_()
            for (n, p), d in zip(model.named_parameters(), direction, strict=True)
        }
        ends.append(gradient_at(model, point, images, labels))
    for found, up, down in zip(product(direction), *ends, strict=True):
        torch.testing.assert_close(found, (up - down) / 2e-5, rtol=1e-6, atol=1e-8)


def test_part_of_the_network_can_be_carried():
    model = network().double()
    head = {n: p for n, p in model.named_parameters() if n.startswith("5.")}
    optimizer = torch.optim.SGD(head.values(), lr=0.1)
    images, labels = batch(torch.float64)
    nn.functional.cross_entropy(model(images), labels).backward()
    product = hessian_product(model, nn.functional.cross_entropy, (images, labels), parameters=list(head))
    _, growth = step_tangent(init_tangent(head), head, optimizer, product)
    # The loss is convex in the head alone: a small step contracts.
    assert growth.log_growth < 0
    assert growth.split.shape == (2,)


def test_an_operation_without_double_backward_is_named():
    class OneWay(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, g):
            return 2 * g

    class Layer(nn.Module):
        def forward(self, x):
            return OneWay.apply(x)

    model = nn.Sequential(nn.Linear(2, 2), Layer(), nn.Tanh())
    with pytest.raises(LastbitError):
        hessian_product(model, nn.functional.mse_loss, (torch.ones(3, 2), torch.ones(3, 2)))(
            [torch.ones(2, 2), torch.ones(2)]
        )
