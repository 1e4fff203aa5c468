"""`FlipUlp`: how many weights move, when, which, and by how much."""

import pytest
import torch
from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.core.ulp import ulp_distance
from lastbit.perturb.flip_ulp import FlipUlp


def make(memory_format=torch.contiguous_format):
    generator = torch.Generator().manual_seed(0)
    params = [nn.Parameter(torch.randn(size, generator=generator)) for size in ((4, 3), (5,), (), (0, 2))]
    params.append(nn.Parameter(torch.randn(2, 3, 2, 2, generator=generator).to(memory_format=memory_format)))
    frozen = nn.Parameter(torch.randn(50, generator=generator), requires_grad=False)
    return params, torch.optim.SGD([*params, frozen], lr=0.1), frozen


def flat(params):
    return torch.cat([param.detach().reshape(-1) for param in params])


def moved_after(config, steps, memory_format=torch.contiguous_format):
    """The signed ulps by which each weight differs from an unperturbed run, after each step."""
    (params, optimizer, frozen), (others, other, _) = make(memory_format), make(memory_format)
    config.attach(optimizer)
    kept, rows = frozen.clone(), []
    for _ in range(steps):
        for param in (*params, *others):
            param.grad = torch.zeros_like(param)
        optimizer.step()
        other.step()
        a, b = flat(params), flat(others)
        rows.append(ulp_distance(a, b) * torch.sign(a - b).long())
    assert torch.equal(frozen, kept)
    return rows


@pytest.mark.parametrize("n", [1, 7, 42])
def test_exactly_n_weights_move_by_one_ulp_after_the_step(n):
    before, at, after = moved_after(FlipUlp(step=1, n_weights=n, seed=4), 3)
    assert int(before.abs().sum()) == 0
    assert int(at.abs().sum()) == n
    assert int(at.abs().max()) == 1
    assert torch.equal(at, after)


def test_every_weight_and_both_sides_are_drawn_alike():
    n = 250
    total = torch.stack([moved_after(FlipUlp(seed=seed), 1)[0] for seed in range(n)])
    hits = total.abs().sum(0).double()
    expected = n / hits.numel()
    # Chi-square over 41 degrees of freedom: below 75 with probability 0.999; the seeds are fixed.
    assert float(((hits - expected) ** 2 / expected).sum()) < 75
    assert abs(int(total.sum())) < 4 * n**0.5


def test_the_memory_order_of_a_weight_does_not_matter():
    config = FlipUlp(n_weights=30, seed=1)
    assert torch.equal(moved_after(config, 1)[0], moved_after(config, 1, torch.channels_last)[0])


def test_more_weights_than_there_are_is_refused_and_leaves_no_hook():
    _, optimizer, _ = make()
    with pytest.raises(LastbitError, match="n_weights = 43: the optimizer has 42 trainable weights"):
        FlipUlp(n_weights=43).attach(optimizer)
    assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize("values", [{"step": -1}, {"n_weights": 0}, {"seed": 0.5}, {"n_weights": True}])
def test_values_out_of_range_are_refused(values):
    with pytest.raises(LastbitError, match=f"{next(iter(values))} = .*whole number"):
        FlipUlp(**values)


def test_the_label_tells_what_moves_when():
    assert FlipUlp(seed=2).label == "1 ulp on 1 weight at step 0 (seed 2)"
    assert FlipUlp(step=3, n_weights=5).label == "1 ulp on 5 weights at step 3 (seed 0)"
