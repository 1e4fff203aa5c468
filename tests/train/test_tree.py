import json
import math
import random
import struct
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from lastbit.core.errors import LastbitError
from lastbit.train.tree import pack, unpack

TORCH = [
    torch.float64,
    torch.float32,
    torch.bfloat16,
    torch.float16,
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint32,
]
NUMPY = ["<u4", "<u8", "<u2", "|u1", "|b1", "<i8", "<f8", "<f4", "<f2", ">f8", "<c16"]


@st.composite
def tensors(draw):
    dtype = draw(st.sampled_from(TORCH))
    shape = draw(st.sampled_from([(), (0,), (3,), (2, 2), (1, 0, 4)]))
    count = math.prod(shape)
    raw = torch.tensor(draw(st.lists(st.integers(0, 255), min_size=8 * count, max_size=8 * count)), dtype=torch.uint8)
    if dtype == torch.bool:
        return (raw[:count] % 2 == 1).view(shape)
    return raw[: count * dtype.itemsize].view(dtype).view(shape)


@st.composite
def arrays(draw):
    dtype = np.dtype(draw(st.sampled_from(NUMPY)))
    shape = draw(st.sampled_from([(), (0,), (3,), (2, 2)]))
    count = math.prod(shape)
    raw = np.array(draw(st.lists(st.integers(0, 255), min_size=16 * count, max_size=16 * count)), dtype=np.uint8)
    if dtype.kind == "b":
        return (raw[:count] % 2).astype(bool).reshape(shape)
    return raw[: count * dtype.itemsize].view(dtype).reshape(shape)


keys = st.one_of(st.integers(-2, 2), st.text(alphabet="ab/'12", max_size=3), st.tuples(st.integers(0, 1), st.text("x")))
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**80), 2**80), st.floats(), st.text(max_size=4), tensors(), arrays()
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
    ),
    max_leaves=12,
)


def spelled(tree):
    """A tree in a form that compares bit for bit, types included."""
    if isinstance(tree, torch.Tensor):
        flat = tree.contiguous().reshape(-1)
        raw = flat.to(torch.uint8) if tree.dtype == torch.bool else flat.view(torch.uint8)
        return ("tensor", str(tree.dtype), tuple(tree.shape), bytes(raw.tolist()))
    if isinstance(tree, np.ndarray):
        return ("array", tree.dtype.str, tree.shape, tree.tobytes())
    if isinstance(tree, float):
        return ("float", "nan" if math.isnan(tree) else struct.pack("<d", tree))
    if isinstance(tree, list | tuple):
        return (type(tree).__name__, [spelled(item) for item in tree])
    if isinstance(tree, dict):
        return ("dict", [(spelled(key), spelled(value)) for key, value in tree.items()])
    return (type(tree).__name__, tree)


def through_a_file(tree, path):
    held = {}
    facts = json.dumps(pack(tree, "state", held), allow_nan=False)
    save_file({name: tensor.contiguous() for name, tensor in held.items()}, path, metadata={"facts": facts})
    with safe_open(path, framework="pt") as file:
        return unpack(json.loads(file.metadata()["facts"]), {name: file.get_tensor(name) for name in held})


@given(trees)
@settings(deadline=None, max_examples=60)
def test_a_tree_comes_back_bit_for_bit_through_a_file(tmp_path_factory, tree):
    path = tmp_path_factory.getbasetemp() / "tree.safetensors"
    assert spelled(through_a_file(tree, path)) == spelled(tree)


def test_keys_that_write_alike_keep_their_own_tensors():
    tree = {
        1: torch.tensor(1),
        "1": torch.tensor(2),
        "a/b": torch.tensor(3),
        "a": {"b": torch.tensor(4)},
        "x": [np.array(5)],
        "x/0": np.array(6),
        "1'": torch.tensor(7),
    }
    held = {}
    assert spelled(unpack(pack(tree, "t", held), held)) == spelled(tree)
    assert len(held) == 7


def test_what_is_packed_does_not_change_afterwards():
    weight = torch.ones(3, requires_grad=True)
    held = {}
    packed = pack({"w": weight}, "t", held)
    with torch.no_grad():
        weight += 1
    first = unpack(packed, held)["w"]
    assert first.tolist() == [1, 1, 1]
    assert not first.requires_grad
    first += 5
    assert unpack(packed, held)["w"].tolist() == [1, 1, 1]
    array = unpack(["array", "a", "<f8", [1]], {"a": torch.zeros(8, dtype=torch.uint8)})
    array += 1  # its own memory, and writable
    assert array.tolist() == [1]


def test_the_states_of_the_generators_come_back(tmp_path):
    tree = {"numpy": np.random.RandomState(3).get_state(), "python": random.Random(4).getstate()}
    back = through_a_file(tree, tmp_path / "a")
    twin = np.random.RandomState(0)
    twin.set_state(back["numpy"])
    assert twin.rand() == np.random.RandomState(3).rand()
    python = random.Random(0)
    python.setstate(back["python"])
    assert python.random() == random.Random(4).random()


def test_counters_come_back_as_such_and_other_mappings_as_dicts():
    held = {}
    back = unpack(pack(OrderedDict(b=1, a=Counter("xxy")), "t", held), held)
    assert type(back) is dict
    assert type(back["a"]) is Counter
    assert back == {"b": 1, "a": {"x": 2, "y": 1}}


@pytest.mark.parametrize(
    ("tree", "what"),
    [
        ({"a": [0, {1, 2}]}, "state/a/1 to a checkpoint: a set"),
        ({"f": print}, "state/f to a checkpoint: a builtin_function_or_method"),
        ([b"x"], "state/0 to a checkpoint: a bytes"),
        (np.array([None, {}], dtype=object), "state to a checkpoint: a ndarray"),
        (np.zeros(2, dtype=[("a", "f4")]), "state to a checkpoint: a ndarray"),
        (1j, "a complex"),
        ({torch.ones(1): 1}, "a Tensor is a key of it"),
        ({frozenset(): 1}, "a key of state to a checkpoint: a frozenset"),
    ],
)
def test_what_cannot_be_written_is_named(tree, what):
    with pytest.raises(LastbitError, match=what):
        pack(tree, "state", {})
