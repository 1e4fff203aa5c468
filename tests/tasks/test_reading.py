"""Examples read item by item: what they draw follows from seed, epoch and index alone, in whichever process."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from readable import Batched, Failing, Noisy, Ragged, Rows, Shuffled, X, masked
from torch.utils.data import DataLoader, Dataset, Subset, default_collate

from lastbit.core import generators
from lastbit.core.errors import LastbitError
from lastbit.core.seeds import stream_seed
from lastbit.tasks.reading import Draws, Reader, UnreadableExample
from lastbit.tasks.split import Split

INDICES = st.lists(st.integers(0, 36), min_size=1, max_size=12)


def by_hand(dataset, index, draws):
    """An example, as slowly and plainly as it can be said."""
    seed = stream_seed(draws.seed, "example", index, draws.epoch)
    torch.manual_seed(stream_seed(seed, "torch"))
    np.random.seed(stream_seed(seed, "numpy") % 2**32)  # noqa: NPY002
    random.seed(stream_seed(seed, "python"))
    return dataset[index]


@pytest.mark.parametrize("dataset", [Noisy(), Batched(), Subset(Noisy(), range(37))], ids=["items", "many", "subset"])
@given(indices=INDICES, seed=st.integers(0, 9), epoch=st.integers(0, 9))
@settings(deadline=None, max_examples=10)
def test_what_an_example_draws_follows_from_seed_epoch_and_index(dataset, indices, seed, epoch):
    draws = Draws(seed, epoch)
    inputs, _ = Split(dataset).batch(torch.tensor(indices), draws)
    before = generators.save()
    expected = torch.stack([by_hand(Noisy(), index, draws)[0] for index in indices])
    generators.restore(before)
    assert torch.equal(inputs, expected)


def test_another_seed_or_epoch_draws_otherwise():
    first, *others = (Split(Noisy()).batch(torch.arange(3), Draws(*at))[0] for at in ((0, 0), (1, 0), (0, 1)))
    assert not any(torch.equal(first, other) for other in others)


SOURCES = [Noisy(), Rows(), Shuffled(), DataLoader(Rows(), collate_fn=masked)]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: type(source).__name__)
def test_reading_leaves_the_generators_and_threads_alone(source):
    before, threads = generators.save(), torch.get_num_threads()
    Split(source).batch(torch.arange(5))
    assert generators.same(before, generators.save())
    assert torch.get_num_threads() == threads


def test_generators_that_moved_are_not_the_same():
    for draw in (torch.rand, np.random.rand, lambda _: random.random()):
        before = generators.save()
        draw(1)
        assert not generators.same(before, generators.save())


def test_examples_that_do_not_draw_are_fetched_at_once_and_those_that_do_one_by_one():
    calls = []

    class Counted(Batched):
        def __getitems__(self, indices):
            calls.append(len(indices))
            return super().__getitems__(indices)

    reader = Reader(Counted(), default_collate, name="train")
    for _ in range(3):
        reader.read([1, 2, 3], Draws())
    assert calls == [3]


@given(indices=INDICES)
@settings(deadline=None, max_examples=10)
def test_a_collate_function_draws_alike_for_the_same_examples(indices):
    split = Split(DataLoader(Noisy(), collate_fn=masked))
    first, again = (split.batch(torch.tensor(indices), Draws(4))[0] for _ in range(2))
    split.batch(torch.tensor([0]))
    assert torch.equal(first, again)
    assert torch.equal(first != 0, split.batch(torch.tensor(indices), Draws(4))[0] != 0)


def test_memory_is_aligned_as_torch_aligns_it():
    store = np.zeros(4 * 7 + 64, np.uint8)
    start = (4 - store.__array_interface__["data"][0]) % 64
    odd = store[start : start + 28].view(np.float32)
    reader = Reader([odd], lambda items: torch.from_numpy(items[0]), name="train")
    assert odd.__array_interface__["data"][0] % 64
    assert reader.read([0], Draws()).data_ptr() % 64 == 0


def test_an_example_that_cannot_be_read_is_named_with_the_line_of_the_users_own():
    for source in (Failing(), Subset(Failing(), range(37))):
        with pytest.raises(
            UnreadableExample, match=r"^train example 11: Odd: no such file and more \(readable.py, line"
        ):
            Split(source, name="train").batch(torch.arange(9, 14))


def test_a_collate_function_that_raises_is_named():
    with pytest.raises(
        UnreadableExample, match=r"^examples 0, 1, 2, 3, \.\.\. of train, in collate: ZeroDivisionError: .*"
    ):
        Split(DataLoader(Rows(), collate_fn=lambda items: 1 / 0), name="train").batch(torch.arange(5))


class Of(Dataset):
    """A dataset of what it is given."""

    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


@pytest.mark.parametrize(
    ("source", "match"),
    [
        (Ragged(), r"examples 0 and 1 differ in shape at 0, \(1,\) and \(2,\): write collate=lastbit.padded\(\)"),
        (
            Of({"a": X[0, :2]}, {"a": X[0, :3]}),
            r"examples 0 and 1 differ in shape at 'a', \(2,\) and \(3,\): write collate",
        ),
        (Of([1, 2], [1, 2, 3]), "examples 0 and 1 have 2 and 3 parts: give all the same, return arrays in place of"),
        (Of((object(), 1)), r"example 0 holds an object at 0: return tensors, arrays or numbers"),
        (Of((X[0], None)), r"example 0 holds None at 1: return tensors, arrays or numbers"),
        (Of((np.array(["a"]), 1)), r"example 0 holds an array of <U1 at 0: give one of numbers"),
        (Of("text"), "a collated batch must hold tensors, got list of str"),
    ],
)
def test_examples_that_make_no_batch_say_what_to_write(source, match):
    with pytest.raises(LastbitError, match=f"^train: {match}"):
        Split(source, name="train").batch(torch.arange(min(2, len(source))))


def test_read_only_arrays_and_numbers_of_numpy_make_a_batch():
    row = np.arange(3.0)
    row.flags.writeable = False
    batch = Split(Of((row, np.float32(2)), (row, np.float32(3)))).batch(torch.tensor([1, 0]))
    assert batch[0].tolist() == [[0, 1, 2], [0, 1, 2]]
    assert batch[1].tolist() == [3, 2]


def test_anything_with_a_length_and_items_is_a_dataset():
    class Table:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return {"x": [float(index)] * 2, "y": index}

    assert Split(Table()).batch(torch.tensor([2]))["y"].tolist() == [2]


def test_a_dataset_without_a_length_is_refused():
    class Endless(Dataset):
        def __getitem__(self, index):
            return X[index]

    class Loose(Shuffled):
        __len__ = None

    for source in (Endless(), Loose(), DataLoader(Loose())):
        with pytest.raises(LastbitError, match=r"train: .* has no length, .*: write a __len__ that returns how many"):
            Split(source, name="train")
