"""Runs in step: each is itself wherever it stands, what it is alone to within rounding, and the same when resumed."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recording import Memory, result, train
from small_trainings import CPU, OPTIMIZERS, Net, make_task, outside

from lastbit.core.recorder import Recorder
from lastbit.perturb.registry import make_perturbation
from lastbit.store import RunFiles
from lastbit.tasks.metric import ACCURACY, Metric
from lastbit.train.jobs import Together
from lastbit.train.random_streams import streams
from lastbit.train.replicas.together import Replica, run_together

calm = partial(Net, dropout=0.0)


def task_of(**more):
    return make_task(model=calm, **more)


def whole(when, weights, buffers):
    """Keep the weights themselves."""
    return {"kept": torch.cat([tensor.flatten() for tensor in weights.values()]).numpy()}


def in_step(task, members, size=4, engine="stack", recorders=None, told=None, **options):
    """Train members `(seed, perturbation)` in step, and return the result of each."""
    recorders = recorders or [Memory() for _ in members]
    told = told or [lambda position: None] * len(members)
    replicas = [
        Replica(
            streams=streams(seed),
            perturbation=make_perturbation("rescale", k),
            recorder=recorder,
            on_step=on_step,
            weigh=whole,
        )
        for (seed, k), recorder, on_step in zip(members, recorders, told, strict=False)
    ]
    outcomes = run_together(task, replicas, together=Together(engine, size), device=CPU, dtype=torch.float32, **options)
    return [result(outcome, recorder) for outcome, recorder in zip(outcomes, recorders, strict=True)]


@settings(max_examples=2, deadline=None)
@given(st.permutations([(0, 0), (0, 1), (1, 0)]), st.integers(0, 2))
def test_a_member_is_the_same_bit_for_bit_wherever_it_stands_and_whoever_is_beside_it(members, kept):
    task = task_of(epochs=1)
    every = dict(zip(members, in_step(task, members), strict=True))
    repeat = in_step(task, [*members[: kept + 1], members[0]])
    assert repeat[-1] == repeat[0] == every[members[0]]
    assert every[0, 0] != every[0, 1]
    assert every[0, 0] != every[1, 0]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_member_is_the_run_alone_to_within_rounding(optimizer):
    # Sums in another order: some ulps of float32 at first, of which ten steps on five examples make no more than 1e-3.
    task, recorders = task_of(optimizer=OPTIMIZERS[optimizer]), [Memory(), Memory()]
    in_step(task, [(0, 0), (3, 1)], recorders=recorders)
    for (seed, k), together in zip([(0, 0), (3, 1)], recorders, strict=True):
        _, alone = train(task, make_perturbation("rescale", k), seed=seed, weigh=whole)
        np.testing.assert_allclose(together.arrays_["losses"], alone.arrays_["losses"], rtol=1e-3)
        if optimizer == "nesterov":
            # Adaptive ones make whole steps of the rounding in a gradient of 0, that of a bias before batch norm.
            first = (one.arrays_["weights_first_kept"] for one in (together, alone))
            np.testing.assert_allclose(*first, atol=1e-6)


def test_what_repeats_when_resumed_is_the_whole_run(folder):
    task, members = task_of(epochs=3), [(0, 0), (0, 1), (1, 0)]
    whole = in_step(task, members)
    files = [RunFiles(folder.path, f"run{place}") for place in range(3)]
    dying = [Memory(one, die_at=1 if place == 2 else None) for place, one in enumerate(files)]
    with pytest.raises(KeyboardInterrupt):
        in_step(task, members, recorders=dying, checkpoint_seconds=0.0)
    steps = []
    told = [partial(lambda place, position: steps.append((place, position)), place) for place in range(3)]
    assert in_step(task, members, recorders=[Memory(one) for one in files], told=told) == whole
    assert min(steps) == (0, 6)  # gone on from the end of the first epoch
    # Another size has other bits: the checkpoints of this one are not gone on from.
    steps.clear()
    in_step(task, members[:1], size=2, recorders=[Memory(files[0])], told=told)
    assert min(steps) == (0, 1)


def test_a_run_that_diverges_ends_and_leaves_the_others_as_they_were():
    def model():
        network = calm()
        with torch.no_grad():
            network.head.weight.mul_(torch.where(network.head.weight.sum() > 0, torch.inf, 1.0))
        return network

    task = make_task(model=model)
    alone = {seed: train(task, make_perturbation("rescale", 0), seed=seed)[0].status for seed in range(6)}
    diverging = next(seed for seed, status in alone.items() if status == "diverged")
    sound = next(seed for seed, status in alone.items() if status == "ok")
    both = in_step(task, [(diverging, 0), (sound, 0)])
    assert [status for status, *_ in both] == ["diverged", "ok"]
    assert len(both[0][2]) == 1
    assert both[1] == in_step(task, [(sound, 0)])[0]


def test_what_raises_as_one_run_is_looked_at_is_its_own():
    calls = []

    def correct(outputs, targets):
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("no number")
        return ACCURACY.per_example(outputs, targets)

    task = task_of(epochs=1, metric=Metric(name="odd", per_example=correct))
    replicas = [
        Replica(streams=streams(seed), perturbation=make_perturbation("rescale", 0), recorder=Recorder())
        for seed in range(3)
    ]
    found = run_together(task, replicas, together=Together("stack", 3), device=CPU, dtype=torch.float32)
    assert [isinstance(one, ValueError) for one in found] == [False, True, False]


def test_nothing_of_the_caller_is_moved(odd_settings):
    before = outside()
    in_step(task_of(epochs=1), [(0, 0)], size=1)
    assert outside() == before


@pytest.mark.parametrize(
    "more",
    [
        {"augment": None, "augment_draws": 0},
        {"drop_last": False},
        {"schedule": lambda optimizer, steps: torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)},
        {"train": torch.utils.data.TensorDataset(torch.randn(20, 1, 6, 6), torch.arange(20) % 3)},
    ],
    ids=["no augmentation", "a last batch that is short", "plateau", "data set"],
)
def test_tasks_of_every_make_are_trained_in_step(more):
    members, recorders = [(0, 0), (1, 0)], [Memory(), Memory()]
    in_step(task_of(**more), members, size=2, recorders=recorders)
    _, alone = train(task_of(**more), make_perturbation("rescale", 0), seed=1)
    np.testing.assert_allclose(recorders[1].arrays_["losses"], alone.arrays_["losses"], rtol=1e-3)
