"""Parameter groups that differ: the step is as stable as the least stable of them."""

import pytest
import torch
from torch import nn, optim

from lastbit.curvature import EffectiveHessian, HessianOperator, stability_limit

BATCH = torch.zeros(1, 1), torch.zeros(1, 1)


def zero(outputs, targets):
    return outputs.sum()


class Quadratic(nn.Module):
    """`sum_i h_i w_i^2 / 2`, each `w_i` a tensor of its own: its Hessian is diagonal."""

    def __init__(self, *curvatures):
        super().__init__()
        self.curvatures = curvatures
        self.weights = nn.ParameterList(nn.Parameter(torch.ones(1, dtype=torch.float64)) for _ in curvatures)

    def forward(self, x):
        return 0.5 * sum(h * w.square() for h, w in zip(self.curvatures, self.weights, strict=True))


def descend(model, optimizer, only=None):
    """One step, of which a tensor whose number is not in `only` takes no part."""
    optimizer.zero_grad(set_to_none=True)
    model(BATCH[0]).sum().backward()
    for number, weight in enumerate(model.weights):
        if only is not None and number not in only:
            weight.grad = None
    optimizer.step()


def test_the_limit_of_several_groups_is_the_smallest():
    one, two, three = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    groups = [{"params": [one], "lr": 0.1}, {"params": [two], "lr": 0.5}, {"params": [three], "lr": 0.2}]
    found = stability_limit(optim.SGD(groups, lr=1.0))
    assert [group.limit for group in found.groups] == pytest.approx([20, 4, 10])
    assert float(found) == found.limit == pytest.approx(4)


def test_a_group_is_as_old_as_its_youngest_tensor():
    """Adam's first steps are corrected for bias, so that its limit depends on how many a tensor has taken."""
    mixed, young = Quadratic(1.0, 1.0), Quadratic(1.0)
    optimizers = [optim.Adam(model.parameters(), lr=0.1) for model in (mixed, young)]
    for step in range(6):
        descend(mixed, optimizers[0], only={0, 1} if step == 5 else {0})
    descend(young, optimizers[1])
    ages = [int(optimizers[0].state[weight]["step"]) for weight in mixed.weights]
    assert ages == [6, 1]
    limit, expected = (stability_limit(optimizer).limit for optimizer in optimizers)
    assert limit == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("curvatures", [(-0.9, -0.9), (-1.5, -1.5), (-0.9, -1.5), (-1.5, -0.9)])
def test_growing_directions_are_the_same_seen_alone_and_beside_another_group(curvatures):
    """Decoupled decay lets a direction of negative curvature shrink down to a margin, which every group has its own of.

    The preconditioner is set to 1, so that the margin of AdamW is its decay, 1.2 in both groups, whatever their rates.
    """
    model = Quadratic(*curvatures)
    groups = [{"params": [weight], "lr": lr} for weight, lr in zip(model.weights, (0.02, 0.5), strict=True)]
    optimizer = optim.AdamW(groups, weight_decay=1.2, eps=0.0)
    descend(model, optimizer)
    for state in optimizer.state.values():
        state["exp_avg_sq"].fill_(1.0)
        state["step"].fill_(100_000)
    assert [group.lower for group in stability_limit(optimizer).groups] == pytest.approx([-1.2, -1.2])

    def growing(names):
        hessian = HessianOperator(model, zero, BATCH, parameters=names)
        return torch.linalg.eigvalsh(EffectiveHessian(hessian, model, optimizer).growth_operator().dense()) < 0

    names = [name for name, _ in model.named_parameters()]
    alone = [bool(growing([name])) for name in names]
    assert alone == [curvature < -1.2 for curvature in curvatures]
    assert int(growing(names).sum()) == sum(alone)
