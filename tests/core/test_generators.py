"""Every process-wide generator is read, set and lent, and the caller's draws go on as if nothing had happened."""

import random

import numpy as np
import pytest
import torch

from lastbit.core.generators import LentGenerators, replayed, restore, save
from lastbit.core.seeds import stream_seed


def draw():
    """One number of each generator."""
    return float(torch.rand(())), float(np.random.rand()), random.random()  # noqa: NPY002


def test_a_state_gives_every_draw_again():
    state = save()
    first, second = draw(), draw()
    assert first != second
    restore(state)
    assert (draw(), draw()) == (first, second)


def test_saving_moves_nothing():
    state = save()
    expected = draw()
    restore(state)
    save()
    assert draw() == expected


def test_a_replay_starts_where_it_is_told_and_the_caller_goes_on():
    state = save()
    begin = draw()
    middle = save()
    ahead = draw()
    restore(middle)
    for _ in range(2):
        with replayed(state):
            assert draw() == begin
    assert draw() == ahead


def test_what_is_raised_puts_the_generators_back():
    state = save()
    expected = draw()
    restore(state)
    for lent in (LentGenerators(3).active(), replayed(state)):
        with pytest.raises(TypeError), lent:
            len(draw()[0])
    assert draw() == expected


def test_runs_that_take_turns_draw_as_if_alone():
    with LentGenerators(1).active():
        alone = [draw(), draw()]
    one, other = LentGenerators(1), LentGenerators(2)
    found = []
    for _ in range(2):
        with one.active():
            found.append(draw())
        with other.active():
            assert draw() not in alone
    assert found == alone


def test_each_generator_has_a_stream_of_its_own():
    with LentGenerators(5).active():
        drawn = draw()
    seeded = torch.Generator().manual_seed(stream_seed(5, "torch"))
    assert drawn == (
        float(torch.rand((), generator=seeded)),
        np.random.RandomState(stream_seed(5, "numpy") % 2**32).rand(),
        random.Random(stream_seed(5, "python")).random(),
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_generator_of_a_device_is_saved_lent_and_put_back():
    device = torch.device("cuda", 0)
    state = save(device)
    expected = torch.rand((), device=device)
    restore(state, device)
    with LentGenerators(7, device).active():
        seeded = torch.Generator(device).manual_seed(stream_seed(7, "torch"))
        assert torch.equal(torch.rand((), device=device), torch.rand((), device=device, generator=seeded))
    with replayed(state, device):
        assert torch.equal(torch.rand((), device=device), expected)
    assert torch.equal(torch.rand((), device=device), expected)
