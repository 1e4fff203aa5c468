"""The perturbations on a CUDA device: foreach by default, fused steps that count on the device."""

import pytest
import torch
from torch import nn

from lastbit.core.ulp import ulp_distance
from lastbit.perturb.flip_ulp import FlipUlp
from lastbit.perturb.rescale import Rescale
from lastbit.perturb.stochastic_rounding import StochasticRounding

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def stepped(optimizer_class, perturbation, steps=1, **options):
    generator = torch.Generator().manual_seed(0)
    params = [nn.Parameter(torch.randn(size, generator=generator).cuda()) for size in ((40, 30), (30,), ())]
    optimizer = optimizer_class(params, lr=0.01, **options)
    if perturbation is not None:
        perturbation.attach(optimizer)
    for _ in range(steps):
        for param in params:
            param.grad = torch.randn(param.shape, generator=generator).cuda()
        optimizer.step()
    return torch.cat([param.detach().reshape(-1) for param in params])


STEPS = [
    (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    (torch.optim.SGD, {"momentum": 0.9, "fused": True}),
    (torch.optim.AdamW, {}),
    (torch.optim.AdamW, {"fused": True}),
    (torch.optim.Adam, {"capturable": True}),
]


@pytest.mark.parametrize(("optimizer_class", "options"), STEPS)
def test_controls_and_bounds_hold(optimizer_class, options):
    native = stepped(optimizer_class, None, **options)
    assert torch.equal(
        stepped(optimizer_class, Rescale(k=4), 5, **options), stepped(optimizer_class, None, 5, **options)
    )
    rescaled = stepped(optimizer_class, Rescale(k=3), **options)
    assert bool((rescaled != native).any())
    # Updates of a hundredth: at most one ulp beside weights that are seven times as large.
    assert int((ulp_distance(rescaled, native) * (native.abs() > 0.2)).max()) <= 1
    rounded = stepped(optimizer_class, StochasticRounding(seed=1), **options)
    assert int(ulp_distance(rounded, native).max()) == 1
    assert torch.equal(rounded, stepped(optimizer_class, StochasticRounding(seed=1), **options))
    flipped = stepped(optimizer_class, FlipUlp(n_weights=3), **options)
    assert int(ulp_distance(flipped, native).sum()) == 3
