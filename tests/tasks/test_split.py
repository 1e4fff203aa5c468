"""Examples by index, from tensors, datasets and loaders."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from lastbit.core.errors import LastbitError
from lastbit.tasks.data.images import stratified_order
from lastbit.tasks.split import Split

X = torch.arange(24.0).view(8, 3)
Y = torch.arange(8)


class Items(Dataset):
    """A map-style dataset of pairs, as users write them."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return X[index], int(Y[index])


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(X[0], 0)])


def doubled(items):
    return 2 * torch.stack([x for x, _ in items]), torch.tensor([y for _, y in items])


SOURCES = {
    "tensors": (X, Y),
    "tensor dataset": TensorDataset(X, Y),
    "dataset": Items(),
    "subset": Subset(Items(), range(8)),
    "loader": DataLoader(Items(), batch_size=3, shuffle=True),
    "loader of tensors": DataLoader(TensorDataset(X, Y), batch_size=3, shuffle=True),
    "split": Split((X, Y)),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@given(indices=st.lists(st.integers(0, 7), min_size=1, max_size=20))
@settings(deadline=None, max_examples=15)
def test_every_source_gives_the_rows_asked_for(source, indices):
    inputs, targets = Split(source).batch(torch.tensor(indices))
    assert torch.equal(inputs, X[indices])
    assert torch.equal(targets, Y[indices])


def test_a_loaders_collate_function_is_used():
    inputs, _ = Split(DataLoader(Items(), collate_fn=doubled)).batch(torch.tensor([1]))
    assert torch.equal(inputs, 2 * X[1:2])


def test_a_tensor_dataset_is_held_as_tensors_unless_its_loader_collates_otherwise():
    assert Split(DataLoader(TensorDataset(X, Y))).tensors is not None
    custom = Split(DataLoader(TensorDataset(X, Y), collate_fn=doubled))
    assert custom.tensors is None
    assert torch.equal(custom.batch(torch.tensor([2]))[0], 2 * X[2:3])


def test_a_dataset_that_fetches_many_at_once_is_asked_once():
    class Fast(Items):
        calls = 0

        def __getitems__(self, indices):
            Fast.calls += 1
            return [self[index] for index in indices]

    Split(Fast()).batch(torch.arange(5))
    assert Fast.calls == 1


def test_a_batch_is_a_copy():
    split = Split((X.clone(), Y))
    split.batch(torch.tensor([0]))[0].zero_()
    assert torch.equal(split.tensors[0], X)


@pytest.mark.parametrize("source", [(X, Y), Items()], ids=["tensors", "dataset"])
def test_to_changes_floats_and_leaves_integers(source):
    split = Split(source)
    inputs, targets = split.to("cpu", torch.float64).batch(torch.tensor([1]))
    assert inputs.dtype == torch.float64
    assert targets.dtype == torch.int64
    assert split.batch(torch.tensor([1]))[0].dtype == torch.float32
    assert split.to("cpu", torch.float64).to("cpu").batch(torch.tensor([1]))[0].dtype == torch.float64


def test_to_keeps_integer_inputs_and_converts_float_targets():
    tokens = torch.randint(9, (4, 5))
    inputs, targets = Split((tokens, torch.rand(4))).to("cpu", torch.bfloat16).batch(torch.arange(4))
    assert inputs.dtype == torch.int64
    assert targets.dtype == torch.bfloat16


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("source", [(X, Y), Items()], ids=["tensors", "dataset"])
def test_batches_lie_on_the_device_asked_for(source):
    inputs, targets = Split(source).to("cuda", torch.float32).batch(torch.tensor([5, 1]))
    assert inputs.is_cuda
    assert targets.is_cuda
    assert torch.equal(inputs.cpu(), X[[5, 1]])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_batches_that_are_read_go_to_a_gpu_through_pinned_memory(monkeypatch):
    copies = []
    to = torch.Tensor.to

    def watched(tensor, *args, **options):
        copies.append((tensor.is_pinned(), options.get("non_blocking")))
        return to(tensor, *args, **options)

    split = Split(Items()).to("cuda", torch.float32)
    monkeypatch.setattr(torch.Tensor, "to", watched)
    inputs, _ = split.batch(torch.tensor([5, 1]))
    assert copies == [(True, True), (True, True)]
    assert torch.equal(inputs.cpu(), X[[5, 1]])


def test_nothing_is_pinned_for_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", None)
    assert not Split(Items()).to("cpu", torch.float32).batch(torch.tensor([5]))[0].is_pinned()


@pytest.mark.parametrize("source", [(X, Y), Items()], ids=["tensors", "dataset"])
def test_a_subset_keeps_the_order_given(source):
    part = Split(source).subset(torch.tensor([6, 2, 3]))
    assert len(part) == 3
    assert part.batch(torch.tensor([0, 1]))[1].tolist() == [6, 2]


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ((X, Y[:5]), r"train: inputs \(8, 3\) and targets \(5,\) must agree in their first axis"),
        ((X, torch.tensor(1)), "must agree in their first axis"),
        ((X, {"labels": Y[:3]}), r"train: inputs \(8, 3\) and targets \(3,\) must agree"),
        ((X, [0, 1]), "got tuple of Tensor, list"),
        ("digits", "must be tensors or arrays, as .inputs, targets., got str"),
        ((X[:0], Y[:0]), "train: no examples"),
        (Stream(), "Stream has no length"),
        ((X, np.array(["a"] * 8)), "an array of <U1 makes no tensor"),
        ((X, np.arange(8)[::-1]), "an array of int64 makes no tensor"),
        (DataLoader(Items(), batch_size=None), "batch_size=None makes no batches"),
        (DataLoader(Items(), sampler=SubsetRandomSampler([1, 2])), r"draws with SubsetRandomSampler, .*\.Subset"),
        (DataLoader(Items(), sampler=WeightedRandomSampler([1.0] * 8, 8)), "draws with WeightedRandomSampler"),
        (DataLoader(Items(), sampler=RandomSampler(Items(), replacement=True)), "RandomSampler with replacement"),
        (DataLoader(Items(), sampler=RandomSampler(Items(), num_samples=4)), "draws with RandomSampler"),
        (DataLoader(Items(), batch_sampler=[[0, 1], [2]]), "draws with list"),
    ],
)
def test_sources_that_cannot_be_used_are_refused(source, match):
    with pytest.raises(LastbitError, match=match):
        Split(source, name="train")


def test_a_batch_without_tensors_is_refused():
    split = Split(DataLoader(Items(), collate_fn=lambda items: {"x": 1}), name="train")
    with pytest.raises(LastbitError, match="train: a collated batch must hold tensors, got dict"):
        split.batch(torch.tensor([0]))


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=6), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_every_prefix_of_the_stratified_order_holds_the_classes_in_proportion(counts, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    order = stratified_order(labels, name="any")
    assert sorted(order) == list(range(len(labels)))
    taken = np.cumsum(np.eye(len(counts))[labels[order]], axis=0)
    share = np.array(counts) / len(labels)
    due = np.arange(1, len(labels) + 1)[:, None] * share
    # Up to a position t each class has round(t count) examples; the rounding of all classes moves the total by C/2.
    assert (abs(taken - due) <= 0.5 + share * (len(counts) / 2 + 1) + 1e-9).all()
