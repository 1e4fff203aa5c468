"""The checksum of a step follows every bit of parameters, gradients and settings."""

import pytest
import torch
from torch import nn

from lastbit.launch.pair.leaves import hashes_of, names_of, standing
from lastbit.launch.pair.values import Memories


def optimizer_of(kind=torch.optim.SGD, **settings):
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    optimizer = kind(model.parameters(), **({"lr": 0.1} | settings))
    model(torch.ones(2, 4)).sum().backward()
    return model, optimizer


def checksum(optimizer):
    return standing(optimizer, Memories(), {}).checksum


def last_bit(tensor):
    tensor.view(-1).view(torch.int32)[0] ^= 1


CHANGES = {
    "a bit of a weight": lambda model, optimizer: last_bit(model.weight.data),
    "a sign of zero": lambda model, optimizer: model.bias.data.zero_()[0].neg_(),
    "a bit of a gradient": lambda model, optimizer: last_bit(model.bias.grad),
    "no gradient": lambda model, optimizer: setattr(model.bias, "grad", None),
    "the learning rate": lambda model, optimizer: optimizer.param_groups[0].update(lr=0.1 + 1e-17 * 10),
    "another setting": lambda model, optimizer: optimizer.param_groups[0].update(momentum=0.5),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_it_follows_every_bit(change):
    model, optimizer = optimizer_of()
    before = checksum(optimizer)
    assert checksum(optimizer) == before
    change(model, optimizer)
    assert checksum(optimizer) != before


def test_two_sign_flips_do_not_cancel():
    model, optimizer = optimizer_of()
    before = checksum(optimizer)
    with torch.no_grad():
        model.weight[0, :2] *= -1
    assert checksum(optimizer) != before


def test_a_learning_rate_in_a_tensor_counts():
    _, optimizer = optimizer_of(torch.optim.Adam, lr=torch.tensor(0.1))
    before = checksum(optimizer)
    optimizer.param_groups[0]["lr"].fill_(0.2)
    assert checksum(optimizer) != before


def test_what_is_said_of_a_parameter():
    model, optimizer = optimizer_of()
    memories = Memories()
    before = hashes_of(optimizer, memories)
    optimizer.step()
    weight, bias = standing(optimizer, memories, before).leaves
    assert (weight.name, weight.shape, weight.dtype, bias.name) == ("0.0", (3, 4), "float32", "0.1")
    assert weight.hash_before == before["0.0"] != weight.hash_after
    assert weight.storage == memories.of(model.weight).number
    assert weight.grad_storage == memories.of(model.weight.grad).number
    assert standing(optimizer, memories, before).size == 2 * 4 * 15


def test_sparse_gradients_and_parameters_without_memory_are_left_out():
    table = nn.Embedding(5, 3, sparse=True)
    optimizer = torch.optim.SGD(table.parameters(), lr=0.1)
    table(torch.tensor([1])).sum().backward()
    [leaf] = standing(optimizer, Memories(), {}).leaves
    assert (leaf.grad_storage, leaf.grad_hash) == (-1, None)
    assert leaf.hash_after is not None


def test_parameters_have_the_names_of_the_outermost_module():
    model = nn.ModuleDict({"body": nn.Sequential(nn.Linear(2, 2)), "head": nn.Linear(2, 1)})
    loose = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([{"params": model["body"].parameters()}, {"params": [model["head"].bias, loose]}], 0.1)
    assert names_of(optimizer) == {"0.0": "body.0.weight", "0.1": "body.0.bias", "1.0": "head.bias"}
