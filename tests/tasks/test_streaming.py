"""Examples in an order of their own."""

import pytest
import torch
from readable import Rows, Shuffled, X, Y, reading_task

from lastbit.core import generators
from lastbit.core.errors import LastbitError
from lastbit.core.generators import LentGenerators
from lastbit.perturb.base import Identity
from lastbit.tasks.reading import Draws, UnreadableExample
from lastbit.tasks.split import Split
from lastbit.train.random_streams import streams
from lastbit.train.training import Training

BATCHES = list(torch.split(torch.arange(37), 8))


def by_hand(draws):
    with LentGenerators(draws.of("stream")).active():
        return torch.stack([x for x, _ in Shuffled()])


def test_a_stream_comes_in_its_own_order_the_same_from_wherever_it_is_gone_on():
    draws = Draws(5, 2)
    expected = by_hand(draws)
    feed = Split(Shuffled()).feed(BATCHES, draws)
    with LentGenerators(8).active():  # others draw in between
        found = [feed.take(number)[0] for number in range(5) if torch.rand(1) < 2]
    assert torch.equal(torch.cat(found), expected)
    assert torch.equal(Split(Shuffled()).feed(BATCHES, draws).take(3)[0], expected[24:32])
    assert torch.equal(feed.take(1)[0], expected[8:16])
    assert torch.equal(Split(Shuffled()).batch(torch.tensor([9, 2]), draws)[0], expected[[9, 2]])


def test_seed_and_epoch_shuffle_it_otherwise():
    first, *others = (by_hand(Draws(*at)) for at in ((0, 0), (1, 0), (0, 1)))
    assert not any(torch.equal(first, other) for other in others)


def test_a_training_reads_it_in_order():
    device = torch.device("cpu")
    training = Training(reading_task(Shuffled()), streams(3), Identity(), device=device, dtype=torch.float32)
    with training.active():
        inputs, _ = training.next_batch()
        training.step()
        following, _ = training.next_batch()
    expected = by_hand(Draws(streams(3).order, 0))
    assert torch.equal(torch.cat([inputs, following]), expected[:16])


def test_a_part_of_it_is_its_beginning():
    split = Split(Shuffled(), name="test")
    assert len(split.subset(torch.arange(9))) == 9
    with pytest.raises(LastbitError, match="only its first examples are a part"):
        split.subset(torch.tensor([3, 1]))


def test_one_that_ends_early_says_so():
    class Short(Shuffled):
        def __iter__(self):
            return iter(zip(X[:5], Y, strict=False))

    with pytest.raises(LastbitError, match=r"train: Short ended after 5 examples of 37: let __len__ return how many"):
        Split(Short(), name="train").feed(BATCHES).take(0)


def test_one_that_raises_is_named():
    class Torn(Shuffled):
        def __iter__(self):
            yield X[0], Y[0]
            raise OSError("no line")

    before = generators.save()
    with pytest.raises(UnreadableExample, match=r"train example 1: OSError: no line \(test_streaming.py, line"):
        Split(Torn(), name="train").feed(BATCHES).take(0)
    assert generators.same(before, generators.save())


def test_a_sampler_of_a_stream_is_refused():
    with pytest.raises(LastbitError, match="sampler draws examples by index, but train is a stream"):
        reading_task(Shuffled(), sampler=torch.randperm)
    reading_task(Rows(), sampler=lambda generator: torch.randperm(37, generator=generator))
