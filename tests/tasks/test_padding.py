"""Padding, against torch's own for sequences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from readable import Ragged, reading_task
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from lastbit import padded
from lastbit.core.errors import LastbitError
from lastbit.tasks.split import Split

LENGTHS = st.lists(st.integers(0, 7), min_size=1, max_size=6)


@given(lengths=LENGTHS, width=st.integers(1, 3), value=st.integers(-9, 9))
@settings(deadline=None, max_examples=30)
def test_sequences_are_padded_as_torch_pads_them(lengths, width, value):
    items = [torch.randn(length, width) for length in lengths]
    expected = pad_sequence(items, batch_first=True, padding_value=float(value))
    assert torch.equal(padded(value)(items), expected)


@given(lengths=LENGTHS)
@settings(deadline=None, max_examples=20)
def test_a_mask_counts_the_lengths(lengths):
    batch = padded(mask="mask")([{"x": [7] * length, "y": 1} for length in lengths])
    assert batch["mask"].sum(1).tolist() == lengths
    assert torch.equal(batch["x"], 7 * batch["mask"])
    assert batch["y"].tolist() == [1] * len(lengths)


def test_values_by_entry_and_by_position():
    items = [{"x": [1, 2], "labels": np.array([1, 2])}, {"x": [3], "labels": np.array([3])}]
    batch = padded({"labels": -100})(items)
    assert batch["x"].tolist() == [[1, 2], [3, 0]]
    assert batch["labels"].tolist() == [[1, 2], [3, -100]]
    inputs, labels = padded((9, -100))([(torch.ones(2, 2), [1]), (torch.ones(1, 3), [1, 1])])
    assert inputs.tolist() == [[[1, 1, 9], [1, 1, 9]], [[1, 1, 1], [9, 9, 9]]]
    assert labels.tolist() == [[1, -100], [1, 1]]


def test_texts_stay_a_list():
    assert padded()([("a", 1), ("bc", 2)])[0] == ["a", "bc"]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: padded("zero"), "padded takes what to pad with, got 'zero': write lastbit.padded"),
        (lambda: padded({"x": None}), "padded takes what to pad with"),
        (lambda: padded(mask=1), "mask must be the name of an entry, got 1"),
        (lambda: padded(mask="m")([(1, 2)]), "examples that are dictionaries, got tuple of int, int"),
        (lambda: padded(mask="x")([{"x": [1]}]), "the examples have that entry themselves"),
        (lambda: padded()([torch.ones(1), torch.ones(1, 1)]), "as many axes each, got 1 and 2"),
        (lambda: padded()([object()]), "padded takes tensors, arrays, numbers and lists of numbers, got object"),
    ],
)
def test_what_cannot_be_padded_is_refused(call, match):
    with pytest.raises(LastbitError, match=match):
        call()


def summing():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 2)

        def forward(self, x):
            return self.layer(x.sum(1, keepdim=True))

    return Sum()


def test_a_task_pads_with_its_own_collate_function():
    task = reading_task(Ragged(), test=Ragged(), collate=padded(), model=summing)
    task.check()
    assert task.train.batch(torch.tensor([5, 0]))[0].shape == (2, 6)


def test_a_collate_function_that_nothing_would_use_is_refused():
    x, y = torch.randn(20, 6), torch.arange(20) % 2
    with pytest.raises(LastbitError, match="collate puts together the examples of a Dataset, but train and test are"):
        reading_task((x, y), test=(x, y), collate=padded())
    loader = DataLoader(Ragged(), collate_fn=padded(1))
    with pytest.raises(LastbitError, match="train: give collate= or the collate_fn of the DataLoader, not both"):
        reading_task(loader, collate=padded(2))
    assert Split(loader).batch(torch.tensor([0, 1]))[0][0, 1] == 1
