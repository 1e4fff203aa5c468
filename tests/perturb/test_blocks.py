"""Blocks of any size give the bits of the perturbations as they are written down, over all weights at once."""

import numpy as np
import pytest
import torch
from torch import nn

from lastbit.core.seeds import stream_seed
from lastbit.core.ulp import FLOAT_DTYPES
from lastbit.optimizers import step as step_module
from lastbit.optimizers.parts import Direction
from lastbit.perturb.rescale import Rescale
from lastbit.perturb.stochastic_rounding import StochasticRounding
from lastbit.perturb.update import UpdateAttachment

OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.01}),
    "nesterov": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "fused": True}),
    "nadam": (torch.optim.NAdam, {"lr": 0.01}),
}
SHAPES = ((7, 5), (3,), (), (0, 2), (4, 3, 3, 3), (40,))


def whole_rescaled(step, direction, k):
    plain, rescaled = direction.applied(step.before), direction.applied(step.before, k)
    moved = torch.where(step.after == plain, rescaled, step.after + (rescaled - plain))
    return torch.where(rescaled != plain, moved, step.after)


def wide(direction):
    return Direction(
        direction.step_size,
        direction.numerator.double(),
        None if direction.denominator is None else direction.denominator.double(),
        direction.shrink,
        None if direction.then is None else wide(direction.then),
    )


def whole_rounded(step, direction, draws):
    largest = torch.full((), torch.finfo(step.after.dtype).max, dtype=step.after.dtype)
    error = wide(direction).applied(step.before.double()) - step.after.double()
    neighbour = torch.nextafter(step.after, torch.copysign(largest, error.to(step.after.dtype)))
    gap = (neighbour.double() - step.after.double()).abs()
    return torch.where(draws * gap < error.abs(), neighbour, step.after)


def trained(monkeypatch, name, attach, block, dtype):
    monkeypatch.setattr(step_module, "block_elements", lambda device: block)
    generator = torch.Generator().manual_seed(0)
    kind, options = OPTIMIZERS[name]
    params = [nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in SHAPES]
    params[4].data = params[4].data.to(memory_format=torch.channels_last)
    params.append(nn.Parameter(torch.ones(2, dtype=dtype)))  # never gets a gradient
    with torch.no_grad():
        params[0][0, 0] = float("inf")
        params[0][0, 1] = -0.0
    optimizer = kind([{"params": params[:2]}, {"params": params[2:], "lr": 0.05}], **options)
    attach(optimizer)
    for number in range(5):
        for place, param in enumerate(params[:-1]):
            # One parameter lags behind the others in its count.
            drawn = torch.randn(param.shape, generator=generator).to(dtype)
            param.grad = None if place == 1 and number == 1 else drawn
        params[0].grad[0, 1] = 0.0
        optimizer.step()
    return torch.cat([param.detach().reshape(-1) for param in params])


def by_hand(change):
    """Attach a change of the update to an optimizer, as it is written down in this file."""
    return lambda optimizer: UpdateAttachment(optimizer, change)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_blocks_give_the_bits_of_the_whole(name, dtype, monkeypatch):
    def rounding(number):
        words = np.random.SFC64(stream_seed(3, "rounding", number)).random_raw(500).view(np.int32)
        draws = iter((words.astype(np.float64) + 2.0**31) / 2.0**32)

        def change(step, direction):
            return whole_rounded(step, direction, torch.tensor([next(draws) for _ in step.after], dtype=torch.float64))

        return change

    rescaled = by_hand(lambda _: lambda step, direction: whole_rescaled(step, direction, 3))
    cases = [(Rescale(k=3).attach, rescaled)]
    if dtype is not torch.float64:  # there the addition is made exact in another way, see the tests of rounding
        cases.append((StochasticRounding(seed=3).attach, by_hand(rounding)))
    for attach, twin in cases:
        expected = trained(monkeypatch, name, twin, 10**6, dtype)
        # Of bfloat16 torch rounds the product in an addition or not, by where an element lies in its vector.
        for block in (10**6,) if dtype is torch.bfloat16 else (1, 7, 64, 10**6):
            got = trained(monkeypatch, name, attach, block, dtype)
            assert torch.equal(got.isnan(), expected.isnan())
            kind, known = FLOAT_DTYPES[dtype], ~expected.isnan()
            assert torch.equal(got.view(kind)[known], expected.view(kind)[known])
