"""Batches of any nesting: what the model is called on, and tensors changed, joined and counted in place."""

from collections import namedtuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lastbit.core.batches import apply_model, call_names, joined, mapped, pair_of, placed, tensors_of, widened
from lastbit.core.errors import LastbitError

Pair = namedtuple("Pair", "first second")


class Output(dict):
    """As libraries return it: a mapping with attributes."""

    __getattr__ = dict.__getitem__


class Masked(nn.Module):
    def forward(self, tokens, mask=None):
        return tokens if mask is None else tokens * mask


LEAVES = st.integers(1, 4).map(lambda n: torch.arange(float(n)))
NESTED = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3),
        st.lists(inner, min_size=1, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, min_size=1, max_size=3),
        st.dictionaries(st.text(max_size=3), inner, min_size=1, max_size=3).map(Output),
        st.tuples(inner, inner).map(lambda two: Pair(*two)),
    ),
    max_leaves=8,
)


@given(value=NESTED)
def test_a_change_reaches_every_tensor_and_keeps_the_form(value):
    doubled = mapped(value, lambda x: 2 * x)
    assert type(doubled) is type(value)
    assert [x.tolist() for x in tensors_of(doubled)] == [(2 * x).tolist() for x in tensors_of(value)]


@given(value=NESTED, times=st.integers(1, 3))
def test_joined_batches_are_as_long_as_all_of_them(value, times):
    for one, all_of_it in zip(tensors_of(value), tensors_of(joined([value] * times)), strict=True):
        assert torch.equal(all_of_it, one.repeat(times))


def test_a_pair_is_inputs_and_targets_and_a_longer_tuple_ends_in_its_targets():
    x, mask, y = torch.ones(2), torch.zeros(2), torch.tensor([0, 1])
    assert pair_of((x, y), None) == (x, y)
    assert pair_of([x, mask, y], None) == ((x, mask), y)


def test_of_a_mapping_the_model_gets_what_it_takes_by_name():
    batch = {"tokens": torch.ones(2), "mask": torch.tensor([1.0, 0.0]), "labels": torch.tensor([0, 1])}
    names = call_names(Masked())
    inputs, targets = pair_of(batch, names)
    assert set(inputs) == {"tokens", "mask"}
    assert targets is batch
    assert apply_model(Masked(), inputs).tolist() == [1.0, 0.0]


def test_a_model_that_takes_any_name_gets_the_whole_mapping():
    class Open(nn.Module):
        def forward(self, **named):
            return named

    assert call_names(Open()) is None
    batch = {"a": 1, "b": 2}
    assert pair_of(batch, call_names(Open()))[0] == batch


@pytest.mark.parametrize(
    ("batch", "match"),
    [
        (torch.ones(3), r"must be \(inputs, targets\) or a mapping of tensors, got \(3,\) float32"),
        ((torch.ones(3),), "got tuple of Tensor"),
        ("ab", "got str"),
        ({"image": 1, "label": 2}, "has the entries image, label, of which the model takes none by name: it takes m"),
    ],
)
def test_other_batches_are_refused(batch, match):
    with pytest.raises(LastbitError, match=match):
        pair_of(batch, call_names(Masked()))


def test_floats_change_their_format_and_integers_keep_it():
    value = {"x": torch.ones(2, dtype=torch.bfloat16), "n": (torch.tensor([1]), "text")}
    moved = placed(value, "cpu", torch.float64)
    assert (moved["x"].dtype, moved["n"][0].dtype, moved["n"][1]) == (torch.float64, torch.int64, "text")
    assert widened(value)["x"].dtype == torch.float32
