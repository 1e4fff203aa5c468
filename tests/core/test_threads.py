"""The number of threads is set for a while and put back; small networks get one."""

import pytest
import torch
from torch import nn

from lastbit.core.threads import SMALL, needs_threads, threads, weight_count


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def hundred():
    return nn.Linear(100, 1, bias=False)


def test_the_number_is_set_and_put_back_whatever_is_raised():
    with threads(2):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 3
    with pytest.raises(IndexError), threads(2):
        [][0]
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("batch_size", "large"), [(SMALL // 100 - 1, False), (SMALL // 100, True)])
def test_large_steps_alone_are_worth_sharing(batch_size, large):
    assert needs_threads(hundred, batch_size) == large


def test_counting_weights_draws_nothing_of_the_callers():
    before = torch.get_rng_state()
    assert weight_count(hundred) == 100
    assert torch.equal(torch.get_rng_state(), before)
