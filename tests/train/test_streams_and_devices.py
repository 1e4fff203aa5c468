import numpy as np
import pytest
import torch
from small_trainings import IMAGES, bits, finish, make_task, make_training

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import stream_seed
from lastbit.perturb.base import Identity
from lastbit.train.random_streams import VARY, streams
from lastbit.train.training import Training

FIELDS = ("init", "order", "augment")


@pytest.mark.parametrize("vary", VARY)
def test_a_seed_changes_what_varies_and_nothing_else(vary):
    seeds = [streams(seed, vary) for seed in range(4)]
    for field in FIELDS:
        values = {getattr(each, field) for each in seeds}
        assert len(values) == (4 if vary in ("all", field) else 1), field


def test_whatever_varies_the_first_seed_is_the_same_run():
    assert len({streams(0, vary) for vary in VARY}) == 1


def test_the_streams_of_a_seed_differ_and_are_the_named_ones():
    chosen = streams(5)
    assert len({chosen.init, chosen.order, chosen.augment}) == 3
    assert chosen.order == stream_seed(5, "order")


def test_what_cannot_vary_is_refused():
    with pytest.raises(
        LastbitError, match=r"unknown --vary 'ordr' \(did you mean 'order'\?\): choose one of all, order"
    ):
        streams(0, "ordr")


def run(seed, vary, task):
    training = Training(task, streams(seed, vary), Identity(), device=torch.device("cpu"), dtype=torch.float32)
    return bits(training.weights()), finish(training, 3)


@pytest.mark.parametrize("vary", VARY)
def test_a_training_differs_in_exactly_what_varies(vary):
    """The order is seen on the batches, the augmentation on the images, the initial weights directly."""
    seen = {}

    def spy(images, draws):
        seen.setdefault(current, []).append((bits(images.sort(0).values), bits(draws.sort(0).values)))
        return images

    task = make_task(augment=spy)
    first = {}
    for current in (0, 1):
        first[current], _ = run(current, vary, task)
    assert (first[0] == first[1]) == (vary not in ("all", "init"))
    # A batch's images are those of the same examples, and so are its draws, where order and augmentation are the same.
    images = [[batch[0] for batch in seen[seed]] for seed in (0, 1)]
    draws = [[batch[1] for batch in seen[seed]] for seed in (0, 1)]
    assert (images[0] == images[1]) == (vary not in ("all", "order"))
    assert (draws[0] == draws[1]) == (vary == "init")


def test_an_example_is_augmented_alike_in_whatever_order_it_comes():
    """With the order alone varied, each example keeps its own draws within an epoch."""
    found = {}

    def spy(images, draws):
        for image, draw in zip(images, draws, strict=True):
            found.setdefault(seed, {})[bits(image)] = bits(draw)
        return images

    task = make_task(augment=spy, batch_size=44, epochs=1)
    for seed in (0, 1):
        run_ = Training(task, streams(seed, "order"), Identity(), device=torch.device("cpu"), dtype=torch.float32)
        finish(run_)
    assert found[0] == found[1]
    assert len(found[0]) == len(IMAGES)


def test_dropout_belongs_to_the_augmentation():
    task = make_task(augment=None, augment_draws=0)
    one, two = ({vary: run(seed, vary, task)[1] for vary in ("augment", "order")} for seed in (0, 1))
    assert one["augment"] == one["order"]
    assert two["augment"] != one["augment"]


def test_the_order_is_a_permutation_anew_in_each_epoch():
    seen = []

    class Spy(torch.utils.data.Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, index):
            seen.append(index)
            return IMAGES[index], 0

    finish(make_training(make_task(train=Spy(), batch_size=3, epochs=3, augment=None, augment_draws=0)))
    epochs = np.array(seen).reshape(3, 9)  # the tenth example does not fill a batch and is left out
    assert all(len(set(epoch)) == 9 for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 3
