"""In which batches an epoch is taken."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import WeightedRandomSampler

from lastbit.core.errors import LastbitError
from lastbit.tasks.sampling import batches_of, count_batches


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(examples=st.integers(1, 50), size=st.integers(1, 60), drop_last=st.booleans())
def test_every_example_is_drawn_once_but_those_of_a_dropped_batch(examples, size, drop_last):
    batches = batches_of(examples, size, generator(), drop_last=drop_last)
    assert len(batches) == count_batches(examples, size, drop_last=drop_last)
    drawn = torch.cat(batches).tolist() if batches else []
    order = torch.randperm(examples, generator=generator()).tolist()
    assert drawn == order[: examples - examples % size if drop_last else examples]
    assert all(len(batch) == size for batch in batches[:-1])


def test_a_sampler_draws_from_the_generator_it_is_given():
    def weighted(source):
        return WeightedRandomSampler([0.0, 1.0, 1.0, 0.0], 10, generator=source)

    first, again, other = (batches_of(4, 5, generator(seed), sampler=weighted) for seed in (1, 1, 2))
    assert [len(batch) for batch in first] == [5, 5]
    assert set(torch.cat(first).tolist()) <= {1, 2}
    assert torch.equal(torch.cat(first), torch.cat(again))
    assert not torch.equal(torch.cat(first), torch.cat(other))
    assert count_batches(4, 4, sampler=weighted, drop_last=False) == 3


def test_a_sampler_of_lists_decides_the_batches():
    batches = batches_of(5, 2, generator(), sampler=lambda source: [[0, 1, 2], torch.tensor([4])])
    assert [batch.tolist() for batch in batches] == [[0, 1, 2], [4]]


@pytest.mark.parametrize(
    ("drawn", "match"),
    [
        ([0, 5], "draws example 5, but they count from 0 to 4"),
        ([-1], "draws example -1"),
        ([0.5], "must give indices of examples"),
        ([[0], ["a"]], "must give indices of examples"),
        ([[0], []], "must give indices of examples"),
        ([], "must give indices of examples"),
    ],
)
def test_what_is_no_index_is_refused(drawn, match):
    with pytest.raises(LastbitError, match=match):
        batches_of(5, 1, generator(), sampler=lambda source: drawn)
