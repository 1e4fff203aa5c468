"""Weights that are spread over processes: one process here, two under torchrun in tests/launch/test_command.py."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from lastbit.core.errors import LastbitError
from lastbit.launch.everywhere import Everywhere
from lastbit.perturb.auto import Auto
from lastbit.perturb.flip_ulp import FlipUlp
from lastbit.perturb.rescale import Rescale
from lastbit.perturb.stochastic_rounding import StochasticRounding


@pytest.fixture(scope="module")
def mesh():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def trained(kind, perturbation, mesh=None, placement=None):
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(8, 40, generator=generator), torch.randn(24, 6, generator=generator)]
    spread = (lambda tensor: distribute_tensor(tensor, mesh, [placement])) if mesh else (lambda tensor: tensor)
    weights = [nn.Parameter(spread(tensor)) for tensor in tensors]
    optimizer = kind(weights, lr=0.3)
    if perturbation is not None:
        perturbation.attach(optimizer)
    for _ in range(3):
        for weight, tensor in zip(weights, tensors, strict=True):
            weight.grad = spread(torch.randn(tensor.shape, generator=generator))
        optimizer.step()
    parts = [weight.detach().to_local() if mesh else weight.detach() for weight in weights]
    return torch.cat([part.reshape(-1) for part in parts])


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW, torch.optim.NAdam], ids=lambda one: one.__name__)
@pytest.mark.parametrize("placement", [Shard(0), Replicate()], ids=str)
def test_the_shard_of_this_process_is_perturbed(mesh, kind, placement):
    for perturbation in (Rescale(k=7), StochasticRounding(seed=2), Auto(k=3)):
        found = trained(kind, perturbation, mesh, placement)
        assert torch.equal(found, trained(kind, perturbation))
        assert not torch.equal(found, trained(kind, None, mesh, placement))
    assert torch.equal(trained(kind, Rescale(k=4), mesh, placement), trained(kind, None))


def test_a_direction_that_needs_the_whole_parameter_is_not_known_of_a_shard(mesh):
    assert Auto(k=3).chosen(torch.optim.Muon([nn.Parameter(torch.ones(3, 2))])).kind == "rescale"
    spread = nn.Parameter(distribute_tensor(torch.ones(3, 2), mesh, [Shard(0)]))
    assert Auto(k=3).chosen(torch.optim.Muon([spread])).kind == "rounding"
    rounded = trained(torch.optim.Muon, Auto(k=3), mesh, Shard(0))
    assert not torch.equal(rounded, trained(torch.optim.Muon, None, mesh, Shard(0)))


def test_weights_are_not_drawn_by_each_process_for_itself(mesh):
    with pytest.raises(LastbitError, match="cannot draw weights that are spread over processes") as caught:
        trained(torch.optim.SGD, FlipUlp(), mesh, Shard(0))
    assert "\n" not in str(caught.value)


def test_what_is_recorded_is_the_shard(mesh):
    with Everywhere(Rescale(k=7), keep_first=True) as everywhere:
        found = trained(torch.optim.AdamW, None, mesh, Shard(0))
        met = everywhere.met[0]
        assert (met.perturbed, met.steps, met.left_alone) == ("rescale", 3, 0)
    assert torch.equal(found, trained(torch.optim.AdamW, Rescale(k=7)))
    assert sum(one.numel() for one in everywhere.first_weights().values()) == len(found)
