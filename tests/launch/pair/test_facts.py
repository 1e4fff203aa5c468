"""Whether something drew from a global generator, as a process says it of itself."""

# ruff: noqa: NPY002
import random

import numpy as np
import pytest

from lastbit.launch.pair.facts import generators


@pytest.fixture
def fresh():
    """The global generators as a process begins with them."""
    states = np.random.get_state(), random.getstate()
    np.random.set_state(np.random.RandomState().get_state())
    random.setstate(random.Random().getstate())
    yield
    np.random.set_state(states[0])
    random.setstate(states[1])


def test_a_generator_is_used_once_something_drew_one_word_from_it(fresh):
    unused = generators()
    assert (unused["numpy drawn"], unused["random drawn"]) == ("no", "no")
    np.random.bytes(4)
    random.getrandbits(32)
    used = generators()
    assert (used["numpy drawn"], used["random drawn"]) == ("yes", "yes")
    assert all(used[name] != unused[name] for name in ("numpy", "random"))
